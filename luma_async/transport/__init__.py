"""Transport: calls as data, and the connections, retries and rate limits that carry them."""

from luma_async.transport.account_limit import AccountLimit
from luma_async.transport.call import Call
from luma_async.transport.failures import Failed
from luma_async.transport.submissions import (
    SubmissionRecord,
    SubmissionTransport,
    UncertainSubmission,
    UnsentSubmission,
)
from luma_async.transport.transport import Transport

__all__ = [
    "AccountLimit",
    "Call",
    "Failed",
    "SubmissionRecord",
    "SubmissionTransport",
    "Transport",
    "UncertainSubmission",
    "UnsentSubmission",
]
