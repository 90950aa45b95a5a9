"""HTTP calls: described as data, sent with limits and retries, and their failures as errors."""

from luma_async.transport.account_limit import AccountLimit
from luma_async.transport.call import Call
from luma_async.transport.failures import Failed
from luma_async.transport.submissions import SubmissionRecord
from luma_async.transport.transport import Transport, UncertainSubmission

__all__ = ["AccountLimit", "Call", "Failed", "SubmissionRecord", "Transport", "UncertainSubmission"]
