"""The API key is removed from what servers say, however they escape it."""

from __future__ import annotations

import base64
import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luma_async.transport.scrubbing import MASK, MIN_SECRET, Scrubber

KEY = "sk-a/b+c&d<e>f=g'h\"i.j_k~l"
SPECIALS = "-_/+=&<>'\"%.;:#~\\"
WORD = string.ascii_letters + string.digits

ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, as Go writes it": lambda text: (
        json.dumps(text)[1:-1]
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    ),
    "json, every character": lambda text: "".join(f"\\u{ord(each):04X}" for each in text),
    "html": html.escape,
    "html, decimal": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "html, hexadecimal": lambda text: "".join(f"&#x{ord(each):02x};" for each in text),
    "html, by name": lambda text: text.replace("/", "&sol;").replace("=", "&equals;"),
    "url": lambda text: quote(text, safe=""),
    "url, small": lambda text: "".join(
        each if each in WORD else f"%{ord(each):02x}" for each in text
    ),
    "url, every character": lambda text: "".join(f"%{ord(each):02X}" for each in text),
}

keys = st.builds(
    lambda word, rest: word + "".join(rest),
    st.text(WORD, min_size=4, max_size=8),
    st.permutations(list(WORD[10:18] + SPECIALS)),
)
"""Keys in which every special character stands once, in any order."""

escapings = st.lists(st.sampled_from(sorted(ESCAPES)), min_size=1, max_size=40)


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_no_escape_hides_the_key(escape: Callable[[str], str]) -> None:
    """In a text for people and in a body for programs; what stands around it is left."""
    said = f"the key {escape(KEY)} is not known"
    scrubber = Scrubber(KEY)

    assert scrubber.text(said) == f"the key {MASK} is not known"
    assert scrubber.body(said.encode()) == f"the key {MASK} is not known".encode()


@pytest.mark.parametrize("inner", ESCAPES.values(), ids=ESCAPES)
@pytest.mark.parametrize("outer", ["json", "html", "url"])
def test_no_escape_within_another_hides_the_key(outer: str, inner: Callable[[str], str]) -> None:
    """As where JSON quotes a page, or a page quotes JSON."""
    said = f"key={ESCAPES[outer](inner(KEY))}!"

    assert Scrubber(KEY).text(said) == f"key={MASK}!"
    assert Scrubber(KEY).body(said.encode()) == f"key={MASK}!".encode()


@settings(max_examples=40)  # each compiles a pattern of its own
@given(key=keys, escaping=escapings)
@example(key="abcd\\\\\\/efgh%25&amp;-ijkl", escaping=["json"])
def test_no_mixture_of_escapes_hides_a_key(key: str, escaping: list[str]) -> None:
    """Each character may be escaped in another way than the one before."""
    said = "".join(ESCAPES[escaping[index % len(escaping)]](each) for index, each in enumerate(key))

    assert Scrubber(key).text(f"[{said}]") == f"[{MASK}]"


@settings(max_examples=40)
@given(key=keys, before=st.text(max_size=8), after=st.text(max_size=8))
def test_json_stays_json(key: str, before: str, after: str) -> None:
    """A body from which the key was taken says the same without it; it may tell of a paid job."""
    body = json.dumps({"id": "job-1", "said": f"{before} {key} {after}"})

    scrubbed = json.loads(Scrubber(key).body(body.encode()))

    assert scrubbed == {"id": "job-1", "said": f"{before} {MASK} {after}"}


@pytest.mark.parametrize("key", ["nk-0123456789abc", "u0041k-0123456789abc"])
def test_a_line_end_before_the_rest_of_a_key_stays_json(key: str) -> None:
    r"""The backslash of `\n` and the first letter of a key belong together."""
    body = f'"a \\{key}"'.encode()

    scrubbed = json.loads(Scrubber(key).body(body))

    assert key[5:] not in scrubbed
    assert scrubbed.endswith(MASK)


@pytest.mark.parametrize("before", ["", "Bearer ", "me:", "me@"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_does_not_hide_the_key(encode: Callable[[bytes], bytes], before: str) -> None:
    """At the edges, a character or two stay that the texts beside the key are part of."""
    encoded = encode(f"{before}{KEY}".encode()).decode()

    scrubbed = Scrubber(KEY).text(f"header {encoded}")

    assert MASK in scrubbed
    assert len(scrubbed) < len("header ") + len(MASK) + len(before) * 4 / 3 + 8


@pytest.mark.parametrize(
    ("key", "said", "shown"),
    [
        ("k", "ask the key k", "ask the key ***"),
        ("k", "key=k, k-1 or <k>", "key=***, ***-1 or <***>"),
        ("k", "k9 knows kk", "k9 knows kk"),
        ("test-key", "test-key, not test-keys", "***, not test-keys"),
        ("a/b", r"no a\/b", "no ***"),
        ("a&b", "no a&amp;b", "no ***"),
    ],
)
def test_a_short_key_is_masked_where_it_is_a_word(key: str, said: str, shown: str) -> None:
    """No letter and no digit stands beside it; else it would be masked within other words."""
    assert len(key) < MIN_SECRET
    assert Scrubber(key).text(said) == shown


def test_a_short_key_leaves_bodies_alone() -> None:
    """A key such as "id" or "1" has a meaning in them, and the job would be lost."""
    body = b'{"id": "job-1", "progress": 1}'

    assert Scrubber("id").body(body) == Scrubber("1").body(body) == body


@given(said=st.text())
def test_what_is_not_the_key_is_left(said: str) -> None:
    """Without the key, a text is what it was."""
    scrubber = Scrubber("sk-0123456789abcdef")

    assert scrubber.text(said) == said
    assert scrubber.body(said.encode(errors="replace")) == said.encode(errors="replace")


def test_a_scrubber_does_not_show_its_key() -> None:
    """It stands among the local variables of a traceback."""
    assert KEY not in repr(Scrubber(KEY))


@pytest.mark.parametrize(
    "url",
    [
        "https://bot.example.com/luma/TOKEN",
        r"https:\/\/bot.example.com\/luma\/TOKEN",
        "https%3A%2F%2Fbot.example.com%2Fluma%2FTOKEN",
        "https:&#x2F;&#x2F;bot.example.com&#x2F;luma&#x2F;TOKEN",
    ],
)
def test_the_token_of_a_callback_is_masked(url: str) -> None:
    """The URL before it stays readable, because it tells the user of a wrong one."""
    token = "yjRFwuIqTZ2xd074AvqiV1XRN3sZWyjH3nQDoa-_x1k"  # of no job
    scrubber = Scrubber(KEY, hook_base="https://bot.example.com/luma")
    said = f"cannot call {url.replace('TOKEN', token)}, nor host/luma/other"
    assert scrubber.text(said) == f"cannot call {url.replace('TOKEN', MASK)}, nor host/luma/other"
