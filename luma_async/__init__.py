"""Asyncio client and polling task manager for Luma video generation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from luma_async.version import __version__

if TYPE_CHECKING:
    from luma_async.client import LumaClient
    from luma_async.dialects import GatewayDialect
    from luma_async.errors import (
        APIConnectionError,
        APIError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BatchError,
        ClientClosedError,
        ConfigurationError,
        DownloadError,
        GenerationFailedError,
        InsufficientCreditsError,
        InvalidRequestError,
        JournalError,
        KeyConflictError,
        LumaError,
        ManifestError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        ResponseError,
        ServerError,
        SubmissionStoppedError,
        SubmissionUncertainError,
        TaskForgottenError,
        TaskTimeoutError,
    )
    from luma_async.generation import Asset, Generation, State
    from luma_async.journal import Journal, SQLJournal
    from luma_async.requests import ExtendRequest, GenerateRequest
    from luma_async.schedules import (
        AdaptiveSchedule,
        ExponentialSchedule,
        FixedSchedule,
        PollSchedule,
    )
    from luma_async.tasks import VideoTask
    from luma_async.tasks.run_many import Job, Outcome

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AdaptiveSchedule",
    "Asset",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "ClientClosedError",
    "ConfigurationError",
    "DownloadError",
    "ExponentialSchedule",
    "ExtendRequest",
    "FixedSchedule",
    "GatewayDialect",
    "GenerateRequest",
    "Generation",
    "GenerationFailedError",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "Job",
    "Journal",
    "JournalError",
    "KeyConflictError",
    "LumaClient",
    "LumaError",
    "ManifestError",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "PollSchedule",
    "RateLimitError",
    "ResponseError",
    "SQLJournal",
    "ServerError",
    "State",
    "SubmissionStoppedError",
    "SubmissionUncertainError",
    "TaskForgottenError",
    "TaskTimeoutError",
    "VideoTask",
    "__version__",
]

if not TYPE_CHECKING:  # a type checker would believe that the module has any name at all
    _HOMES = (
        "errors",
        "generation",
        "requests",
        "schedules",
        "tasks",
        "dialects",
        "journal",
        "client",
    )

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first asked for.

        A program which may generate a video, but has not yet, starts as quickly as without.
        """
        if name in __all__:
            for home in _HOMES:
                module = import_module(f"{__name__}.{home}")
                if hasattr(module, name):
                    globals()[name] = getattr(module, name)
                    return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
