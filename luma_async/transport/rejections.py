"""Rejections: an allow-list of the errors after which a submission has certainly made no job.

Any error that is not in the list leaves the submission uncertain, because the gateway may have
passed the job on before the error: its upstream was late, or sent an unreadable answer. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from luma_async.errors import ConfigurationError

REJECTING_STATUSES = frozenset({400, 401, 402, 403, 404, 405, 413, 422, 429})
"""HTTP statuses that are sent before a job is made, unless the text mentions an upstream."""

NO_CREDIT_CODES = frozenset(
    {
        "insufficient_user_quota",
        "insufficient_quota",
        "quota_not_enough",
        "pre_consume_token_quota_failed",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_credit",
        "balance_not_enough",
        "billing_hard_limit_reached",
        "arrearage",
    }
)
"""Error codes for an empty account. Gateways charge in advance, so no job was passed on."""

REJECTING_CODES = NO_CREDIT_CODES | {
    "model_not_found",
    "no_available_channel",
    "no_available_channels",
    "model_price_error",
    "invalid_api_platform",
    "api_not_implemented",
}
"""Error codes that gateways send, with any status, before they pass a job on: there is no channel
or model for the request, no price, or no quota. `get_channel_failed` is not in the list, because
gateways send it when they look for a second channel after the first one failed with the job."""

_STATUSES_OF_CODES = {
    "invalid_request": 400,
    "invalid_request_error": 400,
    "invalid_parameter": 400,
    "invalid_params": 400,
    "bad_request": 400,
    "sensitive_words_detected": 400,
    "content_moderated": 400,
    "invalid_api_key": 401,
    "unauthorized": 401,
    "authentication_error": 401,
    "access_denied": 403,
    "forbidden": 403,
    "permission_denied": 403,
    "not_found": 404,
    "task_not_exist": 404,
    "task_not_found": 404,
    "too_many_requests": 429,
    "too_many_jobs": 429,
    "rate_limit": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
"""HTTP statuses that correspond to error codes in the envelope of a 200."""

_NO_CREDIT = re.compile(
    r"insufficient (user |token |account )?(quota|credits?|balance|funds)"
    r"|not enough (user |token |account )?(quota|credits?|balance|funds)"
    r"|(quota|credits?|balance|funds)( is| are|'s)? (not enough|insufficient|exhausted|used up)"
    r"|(out of|no( more| remaining)?) (credits?|funds)"
    r"|(余额|额度|积分|点数|费用|配额)(不足|已用尽|已用完|用尽|用完|耗尽)|预扣费.{0,4}失败|欠费"
    r"|(nicht gen(ü|ue)gend|zu wenig|kein) (guthaben|kontingent)"
    r"|guthaben (reicht nicht|ist aufgebraucht|aufgebraucht)"
)
"""Texts about an empty account."""

_LOST_ANSWER = re.compile(
    r"time ?-?outs?\b|timed ?-?out|timeout|deadline|took too long|too slow"
    r"|(no|without|empty|bad|invalid|incomplete|unreadable) (response|answer|reply)"
    r"|did ?n[o']t (respond|answer|reply)|not respond"
    r"|(read|copy|parse|decode|unmarshal|marshal|close) response|response body|unmarshal"
    r"|unexpected end|\beof\b|broken pipe|do request failed|bad gateway"
    r"|connection( was| has been)? (reset|closed|lost|aborted|refused|error|broken|terminated)"
    r"|connect error|(socket|stream|server|peer) (hang ?up|closed|disconnected|reset)"
    r"|reset by peer|disconnected"
    r"|(answer|response|reply|result)( was| is)? lost|lost (the )?(answer|response|reply)"
    r"|context cancell?ed|econn\w+|epipe|fetch failed|network error|invalid character"
    r"|expired before"
    r"|超时|超時|逾时|逾時|請求上游|请求上游|[无未没](有)?(响应|回应|应答)|(响应|返回)(为空|异常|错误|无效|失败)"
    r"|(读取|解析).{0,6}(响应|返回|失败)|[连連](接|線|线).{0,4}(重置|断开|斷開|关闭|關閉|中断|中斷|失败|失敗)|网关错误"
    r"|zeit(ü|ue)berschreitung|zeitlimit|zu lange|(keine|ung(ü|ue)ltige|leere) antwort"
    r"|antwortet nicht|antwort.{0,20}(verloren|unlesbar)"
    r"|verbindung.{0,20}(zur(ü|ue)ckgesetzt|unterbrochen|geschlossen|verloren|getrennt|abgebrochen)"
)
"""Texts about an answer that was late or lost. The job may have been made nevertheless."""

_UPSTREAM = re.compile(
    r"upstream|provider returned|backend|bad response status|origin server|上游|后端|渠道返回"
    r"|vorgelagert|gegenstelle"
)
"""Texts about a server behind the gateway. It may have the job, unless the status is 429."""


def rejection_rule(
    status: int,
    code: str | None,
    message: str,
    *,
    said: str | None = None,
    further_codes: Collection[str] = (),
    further_statuses: frozenset[int] = frozenset(),
) -> str | None:
    """Return the rule of the allow-list by which an error is a rejection; `None` if there is none.

    An error may come as an HTTP status, or in the envelope of a 200 with the status as its `code`.
    The rules are the same for both.

    Args:
        status: the HTTP status.
        code: the error code of the body, if it has one.
        message: the message of the body.
        said: all texts of the body, if there are more than the message.
        further_codes: error codes, in lower case, that are rejections at this gateway.
        further_statuses: HTTP statuses that are rejections in this answer.

    """
    word = (code or "").strip().lower()
    if word and word in further_codes:
        return f"code {word}, which this gateway sends for rejections"
    said = f"{word} {message if said is None else said}"
    if mentions_lost_answer(said):
        return None
    if word in REJECTING_CODES:
        return f"code {word}"
    if status < 500 and mentions_no_credit(f"{word} {message}"):
        return "a text about an empty account"
    if status in further_statuses and not _UPSTREAM.search(_normalized(said)):
        return f"status {status} of the server itself"
    return _rule_for_status(status, word, said)


def _rule_for_status(status: int, word: str, said: str) -> str | None:
    statuses = {status} if status >= 300 else set()
    if (meant := status_of_code(word)) is not None:
        statuses.add(meant)
    if not statuses or not statuses <= REJECTING_STATUSES:
        return None
    if 429 not in statuses and _UPSTREAM.search(_normalized(said)):
        return None
    return f"status {status}" if status >= 300 else f"code {word}"


def mentions_lost_answer(text: str) -> bool:
    """Return `True` if a text mentions that an answer was late or lost."""
    return _LOST_ANSWER.search(_normalized(text)) is not None


def mentions_no_credit(text: str) -> bool:
    """Return `True` if a text mentions that the account is empty."""
    return _NO_CREDIT.search(_normalized(text)) is not None


def status_of_code(code: str | None) -> int | None:
    """Return the HTTP status for the `code` of an envelope; `None` for an unknown code."""
    word = (code or "").strip().lower()
    if re.fullmatch(r"[3-5]\d\d", word):
        return int(word)
    return _STATUSES_OF_CODES.get(word)


def _normalized(text: str) -> str:
    """Return a text in lower case, with one blank for each run of blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]+", " ", text.lower())


def checked_codes(codes: Collection[str]) -> frozenset[str]:
    """Return the user's error codes for rejections, in lower case.

    Raises:
        ConfigurationError: a code is empty, or the collection is a single text.

    """
    texts = [] if isinstance(codes, str) else [code.strip() for code in map(str, codes)]
    if isinstance(codes, str) or not all(texts):
        raise ConfigurationError(
            f"rejection_codes must be texts, such as {{'busy_try_again'}}, got {codes!r}."
        )
    return frozenset(text.lower() for text in texts)
