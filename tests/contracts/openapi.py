"""Contracts of Luma's own APIs, with small corrections where they contradict themselves or servers.

The files beside this module are kept as they were published. `contract()` returns one of them as a
document, with these corrections of the Dream Machine API:

- The model `ray-1-6` is gone, and "modify" takes `ray-flash-2` as well: `lumaai` says both.
- `failure_reason` and `assets` may be null: servers send so until there is something to tell, and
  the contract's own examples do so.
- The examples of a generation get the `model` that the contract requires of its request, and those
  of requests are left out, for none has it.
- `GET /ping` may answer an error: it needs an API key as all other calls do.
- A prompt has 3 to 5,000 characters, which is told elsewhere. Of resolutions and durations, servers
  take those that the contract lists, though it allows any text.
- A generation is also submitted by `POST /generations`, which servers have kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml

Api = Literal["agents", "dream-machine"]

_FILES = {"agents": "agents-openapi.yaml", "dream-machine": "official-openapi.yaml"}


OLD_PATH = "createGenerationAtTheOldPath"
"""Name of the call that submits a generation by `POST /generations`."""


def contract(api: Api) -> dict[str, Any]:
    """Return a contract, whose paths begin with the path of the API as they do in a request."""
    text = (Path(__file__).parent / _FILES[api]).read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    if api == "dream-machine":
        _correct(document)
    prefix = urlsplit(document["servers"][0]["url"]).path
    document["paths"] = {f"{prefix}{path}": call for path, call in document["paths"].items()}
    document["servers"] = [{"url": "/"}]
    return document


def _correct(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    schemas["VideoModel"] = {"type": "string", "enum": ["ray-2", "ray-flash-2"]}
    schemas["ModifyVideoModel"] = {"type": "string", "enum": ["ray-2", "ray-flash-2"]}
    for name in ("GenerationRequest", "ImageGenerationRequest"):
        schemas[name]["properties"]["prompt"] |= {"minLength": 3, "maxLength": 5000}
    for name in ("VideoModelOutputResolution", "VideoModelOutputDuration"):
        schemas[name] = schemas[name]["anyOf"][0]
    generation = schemas["Generation"]
    generation["properties"]["failure_reason"]["type"] = ["string", "null"]
    generation["properties"]["assets"] = {
        "anyOf": [{"$ref": "#/components/schemas/Assets"}, {"type": "null"}]
    }
    (listed,) = schemas["ListGenerationResponse"]["example"]["generations"]
    for example in (generation["example"], listed):
        example |= {"generation_type": "video", "model": "ray-2"}
        example["request"] |= {"generation_type": "video", "model": "ray-2"}
    del schemas["GenerationRequest"]["examples"]
    paths = document["paths"]
    paths["/ping"]["get"]["responses"]["default"] = paths["/credits"]["get"]["responses"]["default"]
    submission = paths["/generations/video"]["post"]
    del submission["requestBody"]["content"]["application/json"]["examples"]
    paths["/generations"]["post"] = {**submission, "operationId": OLD_PATH}
