"""Semantic names: the spans, events, metrics and attributes that are exported, and those of logs.

Those without `luma.` are of the semantic conventions of OpenTelemetry for HTTP clients.
"""

from __future__ import annotations

SCOPE = "luma_async"
"""Name of the tracer and of the meter."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.30.0"
"""Version of the semantic conventions."""

METHOD = "http.request.method"
RESEND_COUNT = "http.request.resend_count"
STATUS_CODE = "http.response.status_code"
ADDRESS = "server.address"
PORT = "server.port"
SCHEME = "url.scheme"
URL_FULL = "url.full"
ERROR_TYPE = "error.type"

DIALECT = "luma.dialect"
REQUEST_KIND = "luma.request.kind"
SUBMISSION_OUTCOME = "luma.submission.outcome"
JOB_ID = "luma.job.id"
JOB_KEY = "luma.job.key"
JOB_KIND = "luma.job.kind"
JOB_STATE = "luma.job.state"
JOB_PROGRESS = "luma.job.progress"
JOB_OUTCOME = "luma.job.outcome"
JOB_POLLS = "luma.job.polls"
JOB_LATENESS = "luma.job.lateness"

SUBMITTED_EVENT = "luma.job.submitted"
POLL_EVENT = "luma.poll"
ABANDONED_EVENT = "luma.job.abandoned"

REQUEST_DURATION = "http.client.request.duration"
SUBMISSIONS = "luma.submissions"
RUNNING_JOBS = "luma.jobs.running"
JOB_DURATION = "luma.job.duration"

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Boundaries in seconds that the semantic conventions advise for the duration of requests."""

DURATION_BUCKETS = (1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
POLL_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
LATENESS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60)


def log_attributes(id: str | None, key: str | None) -> dict[str, str | None]:
    """Return the attributes of a log record about one job, for the argument `extra` of a logger.

    The names begin with `luma`, because Python raises an error for an attribute that the record has
    already, and record factories of programs with jobs of their own set such as `job_id`.
    """
    return {"luma_job_id": id, "luma_job_key": key}
