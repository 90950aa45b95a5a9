"""Asyncio client and polling task manager for Luma video generation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from luma_async.version import __version__

if TYPE_CHECKING:
    from luma_async.client import LumaClient
    from luma_async.client_settings import ClientSettings
    from luma_async.dialects import (
        AgentsDialect,
        Credits,
        Dialect,
        DialectName,
        DreamMachineDialect,
        GatewayDialect,
    )
    from luma_async.edit_requests import (
        EditFields,
        EditImageRequest,
        EditRequest,
        ImageFields,
        ImageRequest,
        LayersFields,
        LayersRequest,
        ReframeFields,
        ReframeRequest,
    )
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
        InsufficientCreditsError,
        InvalidRequestError,
        JournalError,
        KeyConflictError,
        LumaError,
        ManifestError,
        NotFoundError,
        NoVideoError,
        PermissionDeniedError,
        RateLimitError,
        ResponseError,
        ServerError,
        SubmissionStoppedError,
        SubmissionUncertainError,
        TaskForgottenError,
        TaskTimeoutError,
        UnsupportedError,
        UploadError,
    )
    from luma_async.generation import (
        Asset,
        Generation,
        GenerationFailedError,
        Layer,
        ModerationError,
        State,
    )
    from luma_async.image_sources import FileReference, GenerationReference, Image, ImageLike
    from luma_async.journal import End, Entry, EntryState, Hint, Journal, ServedJobs, SQLJournal
    from luma_async.media import CompletedDownload, Download, FailedDownload, image_from
    from luma_async.request_fields import AspectRatio, SourcePosition
    from luma_async.requests import (
        ExtendFields,
        ExtendRequest,
        GenerateFields,
        GenerateRequest,
        JobRequest,
    )
    from luma_async.schedules import (
        AdaptiveSchedule,
        ExponentialSchedule,
        FixedSchedule,
        PollSchedule,
    )
    from luma_async.tasks import Updates, VideoTask
    from luma_async.tasks.run_many import CompletedOutcome, FailedOutcome, Job, Outcome
    from luma_async.telemetry import Stats
    from luma_async.text_values import SecretLike, URLLike
    from luma_async.webhooks import WebhookReceiver

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AdaptiveSchedule",
    "AgentsDialect",
    "AspectRatio",
    "Asset",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "ClientClosedError",
    "ClientSettings",
    "CompletedDownload",
    "CompletedOutcome",
    "ConfigurationError",
    "Credits",
    "Dialect",
    "DialectName",
    "Download",
    "DownloadError",
    "DreamMachineDialect",
    "EditFields",
    "EditImageRequest",
    "EditRequest",
    "End",
    "Entry",
    "EntryState",
    "ExponentialSchedule",
    "ExtendFields",
    "ExtendRequest",
    "FailedDownload",
    "FailedOutcome",
    "FileReference",
    "FixedSchedule",
    "GatewayDialect",
    "GenerateFields",
    "GenerateRequest",
    "Generation",
    "GenerationFailedError",
    "GenerationReference",
    "Hint",
    "Image",
    "ImageFields",
    "ImageLike",
    "ImageRequest",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "Job",
    "JobRequest",
    "Journal",
    "JournalError",
    "KeyConflictError",
    "Layer",
    "LayersFields",
    "LayersRequest",
    "LumaClient",
    "LumaError",
    "ManifestError",
    "ModerationError",
    "NoVideoError",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "PollSchedule",
    "RateLimitError",
    "ReframeFields",
    "ReframeRequest",
    "ResponseError",
    "SQLJournal",
    "SecretLike",
    "ServedJobs",
    "ServerError",
    "SourcePosition",
    "State",
    "Stats",
    "SubmissionStoppedError",
    "SubmissionUncertainError",
    "TaskForgottenError",
    "TaskTimeoutError",
    "URLLike",
    "UnsupportedError",
    "Updates",
    "UploadError",
    "VideoTask",
    "WebhookReceiver",
    "__version__",
    "image_from",
]

if not TYPE_CHECKING:  # with __getattr__, a type checker would accept any name
    _HOMES = (
        "errors",
        "generation",
        "text_values",
        "image_sources",
        "request_fields",
        "requests",
        "edit_requests",
        "schedules",
        "tasks",
        "telemetry",
        "dialects",
        "journal",
        "media",
        "webhooks",
        "client_settings",
        "client",
    )
    """Modules that are searched for a public name, those that load quickly first."""

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used.

        Programs that import this package, but rarely use it, start quickly.
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
