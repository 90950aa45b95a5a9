"""The way to the server and back: calls as data, and the one session that carries them."""

from luma_async.transport.account_limit import Account
from luma_async.transport.call import Call
from luma_async.transport.failures import Failed
from luma_async.transport.submissions import SubmissionRecord
from luma_async.transport.transport import Transport, UncertainSubmission

__all__ = ["Account", "Call", "Failed", "SubmissionRecord", "Transport", "UncertainSubmission"]
