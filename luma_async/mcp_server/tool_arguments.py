"""Tool arguments: the models of the arguments of tools that submit nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from luma_async.errors import InvalidRequestError
from luma_async.request_fields import problems_of

DEFAULT_TIMEOUT = 50.0
"""Seconds of a wait. Many clients give a call up after sixty."""

LONGEST_TIMEOUT = 900.0

LONGEST_NAME = 1000
"""Maximum length of the id or key of a job, in characters. Keys of other programs have up to 500,
and ids of servers less than a hundred."""

_Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)
]
_Job = Annotated[_Name, Field(description="Id of the job, or its key.")]


class ToolArguments(BaseModel):
    """Base of the arguments of a tool."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the arguments of a call. One that is `None` counts as not given.

        Raises:
            InvalidRequestError: an argument is not valid.

        """
        try:
            return cls(**{name: value for name, value in arguments.items() if value is not None})
        except ValidationError as error:
            problems = problems_of(error)
        raise InvalidRequestError(problems)


class JobArguments(ToolArguments):
    """Arguments of a tool about one job."""

    job: _Job


class SourceArgument(ToolArguments):
    """The job whose output a submission works on, if there is one."""

    source: _Name | None = None


class WaitArguments(ToolArguments):
    """Arguments of a tool that waits for a job."""

    job: _Job
    timeout: float = Field(
        default=DEFAULT_TIMEOUT,
        ge=0,
        le=LONGEST_TIMEOUT,
        description=f"Seconds to wait, {DEFAULT_TIMEOUT:g} by default. If the job is still running "
        "then, its present state is the result: call again to go on waiting.",
    )


class ListArguments(ToolArguments):
    """Arguments of a tool that lists jobs."""

    state: Literal["submitting", "uncertain", "running", "completed", "failed", "lost"] | None = (
        Field(default=None, description="List only jobs in this state of the journal.")
    )
    limit: int = Field(
        default=20, ge=1, le=100, description="Maximum number of jobs, 20 by default."
    )


class DownloadArguments(ToolArguments):
    """Arguments of a tool that saves files."""

    job: _Job
    what: Literal["outputs", "video", "image", "exr", "raw", "thumbnail", "last_frame"] = Field(
        default="outputs",
        description="File to save: by default all outputs, which are the video or the images.",
    )
    watermark: bool = Field(
        default=False, description="True to prefer the video with its watermark."
    )


class NoArguments(ToolArguments):
    """Arguments of a tool that takes none."""
