"""Client parts: builds the parts of a `LumaClient`, and connects them with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from luma_async.client_settings import (
    ClientSettings,
    file_memory_of,
    journal_at,
    shared_journal_of,
)
from luma_async.concurrency import HomeLoop
from luma_async.dialects import Dialect, ServerChoice
from luma_async.dialects.file_calls import file_calls_of
from luma_async.dialects.server_advice import advice_of_server
from luma_async.journal import Journal
from luma_async.journal.abandoned_jobs import AbandonedJobs
from luma_async.journal.bookkeeper import Bookkeeper
from luma_async.journal.hint_relay import HintRelay
from luma_async.journal.shared_places import SharedPlaces
from luma_async.media.addresses import AddressPolicy
from luma_async.media.downloader import Downloader
from luma_async.media.downloads import Downloads
from luma_async.media.file_references import FileReferences
from luma_async.media.file_uploader import FileUploader
from luma_async.media.image_reader import ImageReader
from luma_async.media.requester import Requester
from luma_async.media.transfer import FetchLimits
from luma_async.schedules import AdaptiveSchedule, PollSchedule
from luma_async.tasks import Looks, TaskManager
from luma_async.tasks.places import ClientPlaces
from luma_async.tasks.submitter import Submitter
from luma_async.telemetry.observer import find_observer
from luma_async.telemetry.recorder import Recorder
from luma_async.transport import SubmissionTransport, Transport
from luma_async.transport.rate_limit_headers import LONGEST_WAIT
from luma_async.webhooks import WebhookReceiver


@dataclass(frozen=True, slots=True)
class ClientParts:
    """The parts of one client, connected with each other.

    Attributes:
        home: the event loop of all parts.
        recorder: the counters of all parts, with the observer that exports their events.
        submissions: the first part on the way of a submission: the bookkeeper if there is a
            journal, or else the submitter.
        webhook: the receiver of callbacks, if the dialect has callbacks.

    """

    home: HomeLoop
    recorder: Recorder
    transport: Transport
    submission_transport: SubmissionTransport
    looks: Looks
    bookkeeper: Bookkeeper | None
    manager: TaskManager
    submissions: Bookkeeper | Submitter
    hint_relay: HintRelay
    webhook: WebhookReceiver | None
    downloader: Downloader
    downloads: Downloads


def build_parts(
    server: ServerChoice, settings: ClientSettings, *, on_first_use: Callable[[], None]
) -> ClientParts:
    """Build the parts of a client from its checked settings, all of which must be given.

    `on_first_use` is called before the first request.

    Raises:
        ConfigurationError: there is no API key, the journal is not valid, or the webhook is used by
            another client.

    """
    dialect, api_key = server.dialect, server.api_key(reads_file=False)
    home, recorder = HomeLoop(), Recorder()
    webhook = settings["webhook"] if dialect.supports_callbacks else None
    transport = Transport(
        api_key=api_key,
        base_url=server.base_url,
        max_requests=settings["max_requests"],
        timeout=settings["timeout"],
        max_tries=settings["max_tries"],
        session=settings["session"],
        trust_env=settings["trust_env"],
        on_first_use=on_first_use,
        advice=advice_of_server(dialect.name, server.base_url, api_key),
        recorder=recorder,
        hook_base=None if webhook is None else webhook.public_url,
    )
    if settings["telemetry"]:
        recorder.observer = find_observer(server.base_url, dialect.name, transport.scrub)
    submission_transport = SubmissionTransport(transport)
    looks = Looks(
        transport,
        dialect,
        batch_size=settings["batch_size"],
        concurrency=settings["max_requests"],
    )
    schedule = settings["schedule"] or AdaptiveSchedule()
    bookkeeper, shared_places = _bookkeeper(server, settings, schedule, looks)
    manager = TaskManager(
        looks,
        schedule,
        max_looks=settings["max_requests"],
        task_timeout=settings["task_timeout"],
        link_timeout=settings["link_timeout"],
        longest_look=settings["max_tries"] * (settings["timeout"] + LONGEST_WAIT),
        account=submission_transport.account,
        on_end=None if bookkeeper is None else bookkeeper.ended,
        deliver=None if bookkeeper is None else bookkeeper.deliveries.deliver,
        home=home,
        recorder=recorder,
    )
    journal = None if bookkeeper is None else bookkeeper.journal
    hint_relay = HintRelay(manager, dialect, journal)
    requester = _requester(server, settings, recorder)
    submitter = Submitter(
        submission_transport,
        dialect,
        manager,
        ImageReader(
            max_bytes=settings["max_image_bytes"],
            at_once=settings["max_requests"],
            allow_local_files=settings["allow_local_files"],
            files=file_calls_of(dialect),
        ),
        places=shared_places or _client_places(settings),
        uploads=_uploads(dialect, settings, transport, requester, journal),
        hook_url=None if webhook is None else webhook.connect(api_key, hint_relay.take),
    )
    if bookkeeper is not None:
        bookkeeper.connect(submitter, looks)
    downloader = Downloader(
        requester,
        FetchLimits(
            settings["max_tries"],
            settings["min_download_speed"],
            settings["timeout"],
            settings["max_download_bytes"],
        ),
        base_url=server.base_url,
        max_downloads=settings["max_downloads"],
        recorder=recorder,
    )
    return ClientParts(
        home=home,
        recorder=recorder,
        transport=transport,
        submission_transport=submission_transport,
        looks=looks,
        bookkeeper=bookkeeper,
        manager=manager,
        submissions=submitter if bookkeeper is None else bookkeeper,
        hint_relay=hint_relay,
        webhook=webhook,
        downloader=downloader,
        downloads=Downloads(
            downloader, manager=manager, looks=looks, transport=transport, dialect=dialect
        ),
    )


def _bookkeeper(
    server: ServerChoice, settings: ClientSettings, schedule: PollSchedule, looks: Looks
) -> tuple[Bookkeeper | None, SharedPlaces | None]:
    """Return the bookkeeper if there is a journal, and the places that it shares, if any."""
    if settings["journal"] is None:
        return None, None
    own = journal_at(settings["journal"])
    journal = own or cast("Journal", settings["journal"])
    places: SharedPlaces | None = None
    if settings["max_tasks_scope"] == "journal" and settings["max_tasks"] is not None:
        shared = shared_journal_of(journal)
        places = SharedPlaces(
            shared,
            settings["max_tasks"],
            schedule=schedule,
            abandoned=AbandonedJobs(shared, looks, server=server.api_url),
        )
    return Bookkeeper(journal, schedule, server=server.api_url, own=own, places=places), places


def _client_places(settings: ClientSettings) -> ClientPlaces | None:
    return None if settings["max_tasks"] is None else ClientPlaces(settings["max_tasks"])


def _requester(server: ServerChoice, settings: ClientSettings, recorder: Recorder) -> Requester:
    host = urlsplit(server.base_url).hostname or ""
    return Requester(
        AddressPolicy(host, allow_private=settings["allow_private_media"]),
        timeout=settings["timeout"],
        trust_env=settings["trust_env"],
        media_session=settings["media_session"],
        api_session=settings["session"],
        recorder=recorder,
    )


def _uploads(
    dialect: Dialect,
    settings: ClientSettings,
    transport: Transport,
    requester: Requester,
    journal: Journal | None,
) -> FileReferences | None:
    """Return the uploads of large files, or `None` if the server takes none."""
    files = file_calls_of(dialect)
    if files is None:
        return None
    timeout, max_tries = settings["timeout"], settings["max_tries"]
    return FileReferences(
        FileUploader(transport, requester, files, timeout=timeout, max_tries=max_tries),
        files,
        server=transport.base_url,
        memory=file_memory_of(journal),
    )
