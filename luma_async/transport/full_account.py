"""Full accounts: refusals for too many jobs at once, told from those for too many requests. Pure.

An account with too many requests is asked again after a while; one with too many jobs has room
when one of them ends.
"""

from __future__ import annotations

import re

_JOBS = r"(jobs?|tasks?|generations?|videos?|renders?|renderings?|renditions?)"
_RUNNING = r"(concurrent(ly)?|parallel|simultaneous(ly)?|running|active|ongoing|queued|pending)"
_IM_GANGE = r"(gleichzeitige?n?|parallele?n?|laufende?n?|aktive?n?)"
_AUFTRAEGE = r"(auftr(ä|ae)ge?n?|jobs?|aufgaben?|generierungen?|videos?)"

_FULL = re.compile(
    rf"too many ({_RUNNING} )?(\w+ )?{_JOBS}\b"
    rf"|{_RUNNING} (\w+ )?{_JOBS}\b"
    rf"|{_JOBS} (are |is )?(already )?({_RUNNING}|in progress|in parallel)\b"
    rf"|{_JOBS} (at once|at (the same|a|one) time|in flight)\b"
    r"|max(imum)? concurren\w*(?! requests?\b)"
    r"|concurren(t|cy)( \w+)? (limit|quota|max)\w*|(limit|quota|maximum) (of|on|for) concurrency"
    rf"|{_IM_GANGE} {_AUFTRAEGE}\b|{_AUFTRAEGE} gleichzeitig|zu viele {_AUFTRAEGE}\b"
    r"|并发.{0,6}(任务|作业|生成|上限|限制|超|满|过多)"
    r"|(同时|正在).{0,8}(任务|作业|生成|视频).{0,8}(上限|限制|超|满|过多)"
    r"|(任务|作业).{0,4}(过多|太多|已满|已达上限)"
)
"""Too many jobs at once, in words; `concurrent requests` are requests."""

_OF_A_TIME = re.compile(
    r"\b(per|an?|each|every|last|past) (second|minute|hour|day|week|month)\b"
    r"|\b(daily|hourly|weekly|monthly|today|tomorrow|heute|morgen)\b"
    r"|\b(within|last|past|every) (the last |the past )?\d+ ?"
    r"(s|m|h|sec|min|second|minute|hour|day)s?\b"
    r"|(?<!again )\bin \d+ ?(h|hour|day)s?\b"
    r"|\b(no|any) (active|running) (\w+ )?(video|generation)\b"
    r"|\brp[smhd]\b|\bconcurrent requests?\b|\btoo many requests?\b|请求(过多|太多|频繁|次数)"
    r"|每(秒|分|小时|天|日|周|月)|今日|当日"
    r"|\bpro (sekunde|minute|stunde|tag|woche|monat)\b|zu viele anfragen|\bt(ä|ae)glich"
)
"""A limit of so many in a time, or of requests, or no plan: no end of a job makes room in it."""

_CODES = re.compile(
    rf"(too many|max(imum)?) ({_RUNNING} )?{_JOBS}"
    rf"|{_RUNNING} {_JOBS}( limit)?( \w+)?|concurren(t|cy)( {_JOBS})? limit( \w+)?"
    rf"|(too many|max) concurren\w+|account full"
)


def speaks_of_full_account(code: str | None, message: str) -> bool:
    """Return whether a refusal with 429 says that too many jobs are running at once.

    >>> speaks_of_full_account(None, "Too many concurrent jobs")
    True
    >>> speaks_of_full_account("429", "too many requests")
    False
    """
    said = _normalized(message)
    if _OF_A_TIME.search(said):
        return False
    return bool(_CODES.fullmatch(_normalized(code or "")) or _FULL.search(said))


def _normalized(text: str) -> str:
    """Return a text in lower case, with one blank for every blank, underscore or hyphen in it."""
    return re.sub(r"[\s_\-]+", " ", text[:4096].lower()).strip()
