"""Report: what there is to say of one job.

With `--json` it is one line with these fields, all of them, `null` where there is nothing:

id              the server's id of the job
key             its name in the journal
state           pending, processing, completed or failed
prompt          what it shall show
progress        from 0 to 1, where the server says
created_at      when it was submitted (ISO 8601)
failure_reason  the server's, of a failed job
video           link to the video, with a watermark if the server makes one
download_url    link to the same without a watermark
video_raw       link to the video as it was made
thumbnail       link to an image
last_frame      link to an image
file            where the download is
error           what went wrong, in a sentence
error_type      the name of the exception of luma_async
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.errors import GenerationFailedError, LumaError
from luma_async.generation import Asset, Generation

_LINKS = ("video", "download_url", "video_raw", "thumbnail", "last_frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One job, as far as it is known."""

    id: str | None = None
    key: str | None = None
    generation: Generation | None = None
    file: Path | None = None
    error: LumaError | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What a script gets."""
        seen = self.seen
        created = seen.created_at if seen else None
        return {
            "id": self.id,
            "key": self.key,
            "state": seen.state.value if seen else None,
            "prompt": seen.prompt if seen else None,
            "progress": seen.progress if seen else None,
            "created_at": created.isoformat() if created else None,
            "failure_reason": seen.failure_reason if seen else None,
            **self.links,
            "file": str(self.file) if self.file else None,
            "error": str(self.error) if self.error else None,
            "error_type": type(self.error).__name__ if self.error else None,
        }

    @property
    def seen(self) -> Generation | None:
        """The last look at it."""
        if self.generation is None and isinstance(self.error, GenerationFailedError):
            return self.error.generation
        return self.generation

    @property
    def links(self) -> dict[str, str | None]:
        """The links by name."""
        seen = self.seen
        if seen is None:
            return dict.fromkeys(_LINKS)
        video = seen.video
        return {
            "video": _url(video),
            "download_url": video.download_url if video else None,
            "video_raw": _url(seen.video_raw),
            "thumbnail": _url(seen.thumbnail),
            "last_frame": _url(seen.last_frame),
        }

    @property
    def best_link(self) -> str | None:
        """The link to the video without a watermark if there is one, else to that with."""
        links = self.links
        return links["download_url"] or links["video_raw"] or links["video"]

    @property
    def state_line(self) -> str:
        """The job and its state."""
        return f"{self.id}  {self.seen.state if self.seen else 'unknown'}"

    @property
    def lines(self) -> list[str]:
        """All of it, for people."""
        seen = self.seen
        rows = {"prompt": seen.prompt if seen else None}
        if seen is not None and not seen.state.terminal and seen.progress is not None:
            rows["progress"] = f"{seen.progress:.0%}"
        rows["reason"] = seen.failure_reason if seen else None
        rows |= self.links
        return [
            self.state_line,
            *(f"  {name:<13} {value}" for name, value in rows.items() if value),
        ]


def _url(asset: Asset | None) -> str | None:
    return asset.url if asset else None
