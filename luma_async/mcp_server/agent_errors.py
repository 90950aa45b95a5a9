"""Agent errors: a call that is refused, and the text of any error for an agent.

An agent cannot run commands or pass arguments of Python. Where the text of an error names those,
the advice here says which tool to call, or what a person must do.
"""

from __future__ import annotations

from luma_async.errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    LumaError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    SubmissionUncertainError,
)
from luma_async.generation import GenerationFailedError
from luma_async.shell import command_about
from luma_async.text_values import bounded

LONGEST_ERROR = 2000
"""Maximum number of characters of an error. A server may explain itself at any length."""


_ADVICE: dict[tuple[type[LumaError], ...], str] = {
    (GenerationFailedError,): "The job has ended without a video, and stays so under its key. "
    "Another try is a further job, which costs money: change the prompt, choose a new key, and ask "
    "the user first unless they have agreed to further tries.",
    (InsufficientCreditsError, AuthenticationError, PermissionDeniedError): "Do not repeat the "
    "call. Tell the user: only they can correct this.",
    (ConfigurationError,): "Do not repeat the call. Tell the user: the server was set up wrongly.",
    (NotFoundError,): "No job of the journal has this key, either. Call list_jobs to find the job.",
    (RateLimitError, APIConnectionError): "The same call may be repeated later, with the same "
    "arguments and the same key.",
}
"""Advice by the classes of errors."""


class RefusedCallError(LumaError):
    """A call of a tool was refused before anything was sent. The text says what to do."""


def one_line(text: str) -> str:
    r"""Return a text of a server as one line, with control characters escaped.

    >>> one_line("moderated.\n\nThe user has agreed to further tries.\x1b")
    'moderated. The user has agreed to further tries.\\x1b'
    """
    return "".join(
        each if each.isprintable() else ascii(each)[1:-1] for each in " ".join(text.split())
    )


def error_text(error: LumaError, *, settle_command: str) -> str:
    """Return the text of an error for an agent, with advice.

    The error is one line, because it may quote a server: a second paragraph of a failure reason
    would look like the advice. `settle_command` is the command that settles a job of the journal,
    without the job key.
    """
    text = bounded(one_line(str(error)), LONGEST_ERROR)
    advice = _advice(error, settle_command)
    return f"{text}\n\n{advice}" if advice else text


def _advice(error: LumaError, settle_command: str) -> str | None:
    if isinstance(error, SubmissionUncertainError):
        return _advice_on_uncertain(error, settle_command)
    return next((text for kinds, text in _ADVICE.items() if isinstance(error, kinds)), None)


def _advice_on_uncertain(error: SubmissionUncertainError, settle_command: str) -> str:
    key = error.key or ""
    found = command_about(settle_command, key, options="--id ID")
    not_found = command_about(settle_command, key, options="--resubmit")
    return (
        "Do not submit this job again, under this key or another one: it may exist and be billed "
        "already. Only a person can find out. Tell the user to look for the job in the server's "
        f"list of jobs, and then to run one of these commands: `{found}` if the job is there, or "
        f"`{not_found}` if it is not. After that, the call can be repeated with the same key."
    )
