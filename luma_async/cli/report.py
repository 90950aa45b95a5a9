"""Report: the result of a command for one job.

With `--json` it is one object with all of these fields, `null` where a value is unknown:

id              the job's id at the server
key             the job key, from the journal
state           pending, processing, completed or failed
prompt          the job's prompt
progress        from 0 to 1, if the server reports it
queue_state     the place in the queue, if the server reports it
created_at      time of submission (ISO 8601)
failure_reason  the server's reason, if the job failed
failure_code    the server's code for the reason
model           the model of the job, if the server reports it
type            the kind of job, in the server's own word
video           link to the video, with a watermark if the server adds one
download_url    link to the video without a watermark
video_raw       link to the unprocessed video
thumbnail       link to an image
last_frame      link to an image
outputs         links to all outputs
file            path of the downloaded file
files           paths of all downloaded files
error           message of the error
error_type      name of the error's class in luma_async
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.errors import LumaError
from luma_async.generation import Asset, Generation, GenerationFailedError

_LINKS = ("video", "download_url", "video_raw", "thumbnail", "last_frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Result of a command for one job: its last generation, its file, and its error."""

    id: str | None = None
    key: str | None = None
    generation: Generation | None = None
    files: tuple[Path, ...] = ()
    error: LumaError | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the JSON object."""
        last = self.last_generation
        created = last.created_at if last else None
        return {
            "id": self.id,
            "key": self.key,
            "state": last.state.value if last else None,
            "prompt": last.prompt if last else None,
            "progress": last.progress if last else None,
            "queue_state": last.queue_state if last else None,
            "created_at": created.isoformat() if created else None,
            "failure_reason": last.failure_reason if last else None,
            "failure_code": last.failure_code if last else None,
            "model": last.model if last else None,
            "type": last.type if last else None,
            **self.links,
            "outputs": [each.url or each.download_url for each in last.outputs] if last else [],
            "file": str(self.file) if self.file else None,
            "files": [str(file) for file in self.files],
            "error": str(self.error) if self.error else None,
            "error_type": type(self.error).__name__ if self.error else None,
        }

    @property
    def file(self) -> Path | None:
        """Downloaded file: the first one, if there are several."""
        return self.files[0] if self.files else None

    @property
    def plain_files(self) -> str | Path | Sequence[str]:
        """Paths of the downloaded files, for people."""
        if not self.files:
            return ""
        return self.files[0] if len(self.files) == 1 else [str(file) for file in self.files]

    @property
    def last_generation(self) -> Generation | None:
        """Last generation of the job, or else the one in the error that the job has failed."""
        if self.generation is None and isinstance(self.error, GenerationFailedError):
            return self.error.generation
        return self.generation

    @property
    def links(self) -> dict[str, str | None]:
        """Links by their names in the JSON object."""
        last = self.last_generation
        if last is None:
            return dict.fromkeys(_LINKS)
        video = last.video
        return {
            "video": _url(video),
            "download_url": video.download_url if video else None,
            "video_raw": _url(last.video_raw),
            "thumbnail": _url(last.thumbnail),
            "last_frame": _url(last.last_frame),
        }

    @property
    def best_link(self) -> str | None:
        """Link to the video, if possible without a watermark, or else to the first output."""
        links = self.links
        output = _url(self.last_generation.output) if self.last_generation else None
        return links["download_url"] or links["video_raw"] or links["video"] or output

    @property
    def state_line(self) -> str:
        """Id and state in one line."""
        return f"{self.id}  {self.last_generation.state if self.last_generation else 'unknown'}"

    @property
    def row(self) -> list[str]:
        """Cells of a line for programs: id, state, progress, link, failure reason and prompt."""
        last = self.last_generation
        if last is None:
            return [self.id or "", "unknown", "", "", "", ""]
        return [
            self.id or "",
            last.state.value,
            "" if last.progress is None else f"{last.progress:.0%}",
            self.best_link or "",
            last.failure_reason or "",
            last.prompt or "",
        ]

    @property
    def lines(self) -> list[str]:
        """Report for people, in several lines."""
        last = self.last_generation
        rows = {"prompt": last.prompt if last else None}
        if last is not None and not last.state.terminal and last.progress is not None:
            rows["progress"] = f"{last.progress:.0%}"
            rows["queue"] = last.queue_state
        rows["reason"] = last.failure_reason if last else None
        rows |= self.links
        if last is not None and last.video is None:
            rows |= {f"output {n}": _url(each) for n, each in enumerate(last.outputs)}
        return [
            self.state_line,
            *(f"  {name:<13} {value}" for name, value in rows.items() if value),
        ]


def _url(asset: Asset | None) -> str | None:
    return asset.url if asset else None
