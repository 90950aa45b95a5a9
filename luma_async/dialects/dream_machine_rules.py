"""Dream Machine rules: the limits of the API, checked before anything is sent. Pure."""

from __future__ import annotations

from luma_async.dialects.dream_machine_bodies import IMAGE_MODELS, VIDEO_MODELS, makes_image
from luma_async.dialects.request_check import RequestCheck
from luma_async.errors import UnsupportedError
from luma_async.image_sources import GenerationReference
from luma_async.requests import JobRequest

SHORTEST_PROMPT, LONGEST_PROMPT = 3, 5000
MAX_REFERENCES = 4
"""Maximum number of images that an image may refer to."""

SERVER = "the dream-machine dialect"
"""Name of the server in messages."""

_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9", "9:21", "21:9")
_KINDS = ("generate", "extend", "edit", "reframe", "image", "edit_image")
_INSTEAD = {
    "expand_prompt": "leave it out; the server improves prompts by itself",
    "keyframes": "a video has a first and a last frame here: pass image and image_end, or use "
    "the agents dialect",
    "hdr": "use the agents dialect",
    "exr": "use the agents dialect",
    "auto_controls": "strength alone says how much may change; or use the agents dialect",
    "controls": "strength alone says how much may change; or use the agents dialect",
    "style": "describe the style in the prompt",
    "web_search": "use the agents dialect",
    "source_position": "pass its pixels x_start, x_end, y_start and y_end in extra",
    "user_id": "keep it with the job in metadata",
}
"""Fields of other APIs, each with the advice."""

_GONE = ("ray-1-6",)


def check_request(request: JobRequest, *, has_source: bool) -> None:
    """Check a request against the rules of the API.

    Raises:
        UnsupportedError: the API does not offer this kind of request, or one of its fields.
        InvalidRequestError: a field breaks a rule. All problems are in the error.

    """
    if request.kind not in _KINDS:
        raise UnsupportedError.of(
            request.kind, f"{SERVER} does not offer it; use the agents dialect"
        )
    check = RequestCheck(request, SERVER)
    if request.prompt or request.kind != "reframe":
        check.prompt(at_least=SHORTEST_PROMPT, at_most=LONGEST_PROMPT)
    for name, instead in _INSTEAD.items():
        if request.kind == "edit" and name == "keyframes":
            instead = "pass the first frame as image, or use the agents dialect"  # noqa: PLW2901
        check.unsupported([name], instead)
    if request.kind in ("edit", "reframe"):
        check.unsupported(["resolution"], "the result has that of the source")
    check.allowed("aspect_ratio", _RATIOS)
    _check_model(check, request)
    check.only_urls(request.images(), references=GenerationReference)
    _check_combinations(check, request, has_source=has_source)
    check.raise_problems()


def _check_model(check: RequestCheck, request: JobRequest) -> None:
    model = vars(request)["model"]
    allowed: tuple[str, ...] = IMAGE_MODELS if makes_image(request) else VIDEO_MODELS
    if request.kind == "reframe":
        allowed = (*VIDEO_MODELS, *IMAGE_MODELS)
    if model is None or model in allowed:
        return
    problem = f"{model!r} is not valid here"
    if model in _GONE:
        problem = f"{model!r} is no longer offered"
    check.add(
        "model",
        f"{problem}; allowed: {', '.join(allowed)}, or another model of your gateway in extra",
    )


def _check_combinations(check: RequestCheck, request: JobRequest, *, has_source: bool) -> None:
    fields = vars(request)
    if request.kind == "extend" and has_source:
        name, place = ("image_end", "last") if fields["backward"] else ("image", "first")
        if check.has(name):
            check.add(name, f"the {place} frame is that of the source; leave it out")
    if request.kind == "edit" and not check.has("strength"):
        check.add("strength", f"is required by {SERVER}, from adhere_1 to reimagine_3")
    if len(fields.get("references", ())) > MAX_REFERENCES:
        check.add(
            "references",
            f"has {len(fields['references'])} images; {SERVER} allows {MAX_REFERENCES}",
        )
