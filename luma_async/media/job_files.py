"""Job files: find the file of a job that a caller names, and give it a name in a folder. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from luma_async.errors import DownloadError, InvalidRequestError
from luma_async.file_types import suffixes_of
from luma_async.generation import Asset, Generation
from luma_async.media.filenames import safe_stem

FileKind = Literal["output", "video", "image", "exr", "raw", "thumbnail", "last_frame"]
"""Names of the files of a job. `output` is the video, or the first output of a job without one."""

What = FileKind | int
"""File of a job: its name, or the number of an output, counted from 0 in `Generation.outputs`."""

Part = Literal["video", "raw", "thumbnail", "last_frame"]

KINDS: tuple[str, ...] = get_args(FileKind)

_VIDEO, _IMAGE, _EXR = "video/", "image/", "image/x-exr"
_EXR_PATH = re.compile(r"\.exr([?#]|$)", re.IGNORECASE)
_LONGEST_LABEL = 40

_EARLY: dict[What, tuple[Part, tuple[str, ...]]] = {
    "output": ("video", (_VIDEO,)),
    "video": ("video", (_VIDEO,)),
    "raw": ("raw", (_VIDEO,)),
    "thumbnail": ("thumbnail", (_IMAGE,)),
    "last_frame": ("last_frame", (_IMAGE,)),
}
"""Files whose names in a folder are known before the job has ended. The output of most jobs is a
video."""

_NOUNS = {_VIDEO: ("video", "videos"), _IMAGE: ("image", "images"), _EXR: ("EXR file", "EXR files")}


@dataclass(frozen=True, slots=True)
class JobFile:
    """One file of a job.

    Attributes:
        part: the field of `Generation` that has the file, or its number in `outputs`.
        name: the name of the file in a folder, without the suffix.
        types: the beginnings of the allowed media types.

    """

    part: Part | int
    name: str
    types: tuple[str, ...]

    @property
    def words(self) -> str:
        """Subject of a message about the file."""
        return f"Output {self.part}" if isinstance(self.part, int) else f"The {self.part}"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Possible suffixes of the file."""
        return suffixes_of(self.types)

    @property
    def default_suffix(self) -> str:
        """Suffix of a file in an unknown format."""
        if _VIDEO in self.types:
            return ".mp4"
        return ".exr" if self.types == (_EXR,) else ".jpg"


def check_what(what: object) -> None:
    """Check that a value names a file of a job.

    Raises:
        InvalidRequestError: it does not.

    """
    is_number = isinstance(what, int) and not isinstance(what, bool) and what >= 0
    if not is_number and what not in KINDS:
        raise InvalidRequestError.of(
            "what",
            f"must be one of {', '.join(KINDS)}, or the number of an output, counted from 0; "
            f"got {what!r}",
        )


def has_early_name(what: What) -> bool:
    """Return `True` if the name of a file does not depend on the outputs of its job."""
    return what in _EARLY


def early_file(id: str, what: What, *, name: str | None = None) -> JobFile:
    """Return a file of a job that has not ended. Its name may be preliminary.

    Files are named after the job, or have a name of the caller's.
    """
    part, types = _EARLY.get(what, _EARLY["video"])
    stem = safe_stem(name or id)
    is_main = part == "video"  # stems contain no dot
    return JobFile(part, stem if is_main else f"{stem}.{part}", types)


def file_of(generation: Generation, what: What) -> JobFile:
    """Return a file of a completed job.

    A job without any reported output counts as a job with a video, because the link may come later.

    Raises:
        DownloadError: the job has other files only.

    """
    outputs = generation.outputs
    if what in ("raw", "thumbnail", "last_frame") or not (outputs or generation.video):
        return early_file(generation.id, what if what in _EARLY else "output")
    if what == "output":
        return _main_file(generation)
    if what == "video" and generation.video is not None:
        return early_file(generation.id, "video")
    if isinstance(what, int):
        if what < len(outputs):
            return output_file(generation, what)
        raise _not_there(generation, f"output {what}")
    wanted = {"video": _VIDEO, "image": _IMAGE, "exr": _EXR}[what]
    for number in range(len(outputs)):
        file = output_file(generation, number)
        if file.types == (wanted,):
            return file
    raise _not_there(generation, _NOUNS[wanted][0])


def output_file(generation: Generation, number: int, name: str | None = None) -> JobFile:
    """Return an output of a completed job. The main output has the plain name."""
    asset = generation.outputs[number]
    if asset is generation.output or asset == generation.output:
        return _main_file(generation, name)
    numbered = f"{safe_stem(name or generation.id)}.{number}"
    label = asset.layer.label if asset.layer else None
    if label and (safe := _safe_label(label)):
        numbered = f"{numbered}-{safe}"
    return JobFile(number, numbered, _types_of(asset))


def files_of(generation: Generation, name: str | None = None) -> list[JobFile]:
    """Return all outputs of a completed job, in their order."""
    if not generation.outputs:
        return [early_file(generation.id, "output", name=name)]
    return [output_file(generation, number, name) for number in range(len(generation.outputs))]


def _main_file(generation: Generation, name: str | None = None) -> JobFile:
    if generation.video is not None:
        return early_file(generation.id, "video", name=name)
    return JobFile(0, safe_stem(name or generation.id), _types_of(generation.outputs[0]))


def _types_of(asset: Asset) -> tuple[str, ...]:
    declared = (asset.media_type or "").lower()
    if "exr" in declared or _EXR_PATH.search(asset.url or asset.download_url or ""):
        return (_EXR,)
    if declared.startswith("image"):
        return (_IMAGE,)
    return (_VIDEO,) if asset.is_video else (_VIDEO, _IMAGE)


def _safe_label(label: str) -> str:
    """Return a label as a part of a file name that is valid on every system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", label)[:_LONGEST_LABEL].strip("-")


def _not_there(generation: Generation, wanted: str) -> DownloadError:
    """Return the error for a file that a job does not have. It says what there is instead."""
    files = files_of(generation)
    counts = Counter(file.types[0] for file in files)
    found = " and ".join(f"{count} {_NOUNS[type][count > 1]}" for type, count in counts.items())
    kinds = dict.fromkeys({_VIDEO: "video", _IMAGE: "image", _EXR: "exr"}[type] for type in counts)
    numbers = "0" if len(files) == 1 else f"a number from 0 to {len(files) - 1}"
    return DownloadError(
        f"Job {generation.id} has no {wanted}, but {found}. Download {', '.join(kinds)} or "
        f"{numbers} instead."
    )
