"""Tool results: the structured content of each result, and its links to files.

Prompts and failure reasons come from people and servers. They are data in a JSON object, of a
bounded length, and never part of a sentence of ours.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from mcp import types
from pydantic import BaseModel, ConfigDict, Field

from luma_async.file_types import HEAD_SIZE, media_type
from luma_async.generation import Asset, Generation
from luma_async.text_values import bounded

LONGEST_TEXT = 1000
"""Maximum number of characters of a prompt or of a reason in a result."""

StateName = Literal[
    "pending", "processing", "completed", "failed", "running", "submitting", "uncertain", "lost"
]

_NEXT_STEPS: dict[str, str] = {
    "pending": "Call wait_for_job with the id. Do not submit the job again: it takes minutes.",
    "processing": "Call wait_for_job with the id. Do not submit the job again: it takes minutes.",
    "completed": "Links expire: call download_files to save the files.",
    "failed": "Another try is a further job, with another key, and costs money.",
    "running": "Call get_job or wait_for_job for its present state.",
    "submitting": "Another program is submitting it. Look again in a minute.",
    "uncertain": "Do not submit it again: it may be billed already. A person must settle it with "
    "`luma-async settle`.",
    "lost": "The server does not know the job any more. Tell the user.",
}


class _ResultModel(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    def result(self, links: Sequence[types.ResourceLink] = ()) -> types.CallToolResult:
        """Return the result of a tool: the fields as JSON in a text and structured, and links."""
        fields = self.model_dump(mode="json", exclude_none=True)
        text = types.TextContent(type="text", text=self.model_dump_json(exclude_none=True))
        return types.CallToolResult(content=[text, *links], structured_content=fields)


class OutputLink(_ResultModel):
    """Link to an output of a job. It may expire."""

    url: str
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = Field(default=None, description="Seconds.")

    @classmethod
    def of(cls, asset: Asset) -> Self | None:
        """Return the link to an output, if there is one."""
        url = asset.url or asset.download_url
        if url is None:
            return None
        return cls(
            url=url,
            media_type=_media_type_of(asset, url),
            width=asset.width,
            height=asset.height,
            duration=asset.duration,
        )


class JobStatus(_ResultModel):
    """State of a job, and its outputs."""

    id: str | None = Field(default=None, description="Id of the job at the server.")
    key: str | None = Field(default=None, description="Job key, if it is known.")
    state: StateName = Field(
        description="pending and processing: it is running at the server; completed; failed; in "
        "lists of the journal also running, submitting, uncertain (it may have been accepted and "
        "billed) and lost."
    )
    submitted: bool | None = Field(
        default=None,
        description="For a tool that submits: true if this call submitted the job, false if the "
        "key was known and nothing was paid.",
    )
    jobs_left: int | None = Field(
        default=None, description="Number of further jobs that this session may submit."
    )
    prompt: str | None = None
    progress: float | None = Field(default=None, description="From 0 to 1, if it is known.")
    created_at: str | None = None
    failure_reason: str | None = Field(default=None, description="In the words of the server.")
    outputs: tuple[OutputLink, ...] = ()
    next_step: str = ""

    @classmethod
    def of(cls, generation: Generation, *, prompt: str | None = None, **more: Any) -> Self:
        """Return the status of a job from its generation. Some servers do not repeat the prompt."""
        created = generation.created_at
        assets = generation.outputs or filter(None, [generation.output])
        return cls(
            id=generation.id,
            state=generation.state.value,
            prompt=_shown(generation.prompt or prompt),
            progress=None if generation.state.terminal else generation.progress,
            created_at=created.isoformat() if created else None,
            failure_reason=_shown(generation.failure_reason),
            outputs=tuple(filter(None, map(OutputLink.of, assets))),
            next_step=_NEXT_STEPS[generation.state],
            **more,
        )

    @classmethod
    def of_entry(cls, entry: Any) -> Self:
        """Return the status of a job from its entry, as `Journal.export()` has it."""
        ended = entry.get("generation") or {}
        return cls(
            id=entry["id"],
            key=entry["key"],
            state=entry["state"],
            prompt=_shown(entry["request"].get("prompt")),
            created_at=entry["submitted_at"],
            failure_reason=_shown(ended.get("failure_reason") or entry["reason"]),
            next_step=_NEXT_STEPS[entry["state"]],
        )

    def links(self) -> list[types.ResourceLink]:
        """Return a resource link for each output."""
        return [
            types.ResourceLink(
                uri=output.url,
                name=f"{self.id} output {number}",
                title=bounded(self.prompt, 80) if self.prompt else None,
                mime_type=output.media_type,
            )
            for number, output in enumerate(self.outputs)
            if self.state == "completed"
        ]


class JobList(_ResultModel):
    """Jobs of the journal, the newest first."""

    jobs: tuple[JobStatus, ...]
    found: int = Field(description="Number of all jobs in the journal in the state asked for.")
    jobs_left: int = Field(description="Number of further jobs that this session may submit.")


class SavedFile(_ResultModel):
    """File that was downloaded."""

    path: str
    uri: str
    media_type: str | None = None
    bytes: int

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the description of a file on the disk."""
        with path.open("rb") as file:
            type = media_type(file.read(HEAD_SIZE))
        size = path.stat().st_size
        return cls(path=str(path), uri=path.as_uri(), media_type=type, bytes=size)

    def link(self) -> types.ResourceLink:
        """Return the resource link to the file."""
        name = Path(self.path).name
        return types.ResourceLink(
            uri=self.uri, name=name, mime_type=self.media_type, size=self.bytes
        )


class SavedFiles(_ResultModel):
    """Files of a job on this machine. Files that existed already were left as they are."""

    id: str
    files: tuple[SavedFile, ...]


class AccountCredits(_ResultModel):
    """Balance of the account."""

    usd: float = Field(description="US dollars.")


class ConceptNames(_ResultModel):
    """Concepts of the server, such as camera motions."""

    concepts: tuple[str, ...]


def _shown(text: str | None) -> str | None:
    return None if text is None else bounded(text, LONGEST_TEXT)


def _media_type_of(asset: Asset, url: str) -> str | None:
    """Return the media type of an output. Some servers report `video` or `image` only, or none."""
    declared = (asset.media_type or "").lower()
    if "/" in declared:
        return declared
    guessed, _ = mimetypes.guess_type(urlsplit(url).path)
    return guessed or {"video": "video/mp4", "image": "image/jpeg"}.get(declared)
