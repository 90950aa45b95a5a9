"""Links are parsed as browsers do, and their signatures are not changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from luma_async import Asset, DownloadError, LumaClient
from luma_async.media.link_urls import link_url
from luma_async.text_values import shown_link
from tests.media.hosts import MP4, at, host

BASE = URL("https://gateway.example/prefix/")


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://cdn.example/a.mp4", "https://cdn.example/a.mp4"),
        (" \thttps://cdn.example/a.mp4\r\n", "https://cdn.example/a.mp4"),
        ("https://cdn.example/a\n.mp4?si\tg=1", "https://cdn.example/a.mp4?sig=1"),
        ("https://cdn.example/a cat.mp4?b c", "https://cdn.example/a%20cat.mp4?b%20c"),
        ("https://cdn.example/kätzchen", "https://cdn.example/k%C3%A4tzchen"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("//cdn.example/a.mp4", "https://cdn.example/a.mp4"),
        ("/a.mp4?x=1", "https://gateway.example/a.mp4?x=1"),
        ("a.mp4", "https://gateway.example/prefix/a.mp4"),
        ("?round", "https://gateway.example/prefix/?round"),
        ("HTTP://cdn.example", "http://cdn.example/"),
        ("https://cdn.example:444/%2f+~%7E?a=%2B+&b#part", None),
        ("https://[2606:4700::1]:8443/a", "https://[2606:4700::1]:8443/a"),
        ("https://cdn.example/\udce4", "https://cdn.example/%E4"),
    ],
)
def test_a_link_leads_where_a_browser_would_go(link: str, url: str | None) -> None:
    """Blanks are dropped or quoted, fragments are dropped, and the rest stays as it was signed."""
    expected = url or link.partition("#")[0]

    assert str(link_url(link, BASE)) == expected


@pytest.mark.parametrize(
    "link",
    [
        "",
        " ",
        "ftp://host/a",
        "file:///etc/passwd",
        "data:video/mp4;base64,AA",
        "javascript:1",
        "https://",
        "http:///a",
        "http://a b/c",
        "http://host:99999/",
        "http://host:0/",
        "http://[",
    ],
)
def test_an_invalid_link_is_rejected(link: str) -> None:
    """Other schemes, and invalid hosts and ports, have no URL."""
    assert link_url(link, BASE) is None


@given(st.text())
def test_any_text_is_a_link_or_none(text: str) -> None:
    """No text raises an exception, and every URL can be requested."""
    url = link_url(text, BASE)

    assert url is None or (url.scheme in ("http", "https") and url.host and str(url).isascii())


async def test_links_are_relative_to_the_gateway_and_redirects_to_their_own_host(
    tmp_path: Path,
) -> None:
    """`/path` in a response is at the gateway, and the target of a redirect may have blanks."""
    seen: list[str] = []

    async def there(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/a cat.mp4?sig=a%2Bb"})
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(there) as url, LumaClient("k", base_url=f"{url}/luma-api") as luma:
        for number, link in enumerate(["/v.mp4\n", url.removeprefix("http:") + "/moved"]):
            path = await luma.download(at(link), tmp_path / f"{number}.mp4")
            assert path.read_bytes() == MP4

    assert seen == ["/v.mp4", "/moved", "/a%20cat.mp4?sig=a%2Bb"]


async def test_no_error_contains_a_signature(tmp_path: Path) -> None:
    """Invalid links, redirects and responses with too long headers are tested."""

    async def bad(request: web.Request) -> web.StreamResponse:
        where = {"/r": "ftp://h/a?quite-secret", "/long": f"/v?quite-secret{'a' * 70_000}"}
        return web.Response(status=302, headers={"Location": where[request.path]})

    async with host(bad) as url, LumaClient("k", base_url=url, max_tries=1) as luma:
        for link in ("ftp://u:p@h/a?quite-secret", f"{url}/r?quite-secret", f"{url}/long"):
            with pytest.raises(DownloadError) as caught:
                await luma.download(at(link), tmp_path / "cat.mp4")

            assert "quite-secret" not in repr(caught.value) + str(caught.value)
            assert "u:p" not in str(caught.value)


def test_no_repr_contains_a_signature() -> None:
    """A log of generations does not give access to their files."""
    job = at("https://user:pass@cdn.example/cat.mp4?signature=quite-secret")

    assert repr(job.video).startswith("Asset(url='https://cdn.example/cat.mp4', ")
    assert "quite-secret" not in repr(job)
    assert isinstance(job.video, Asset)
    assert job.video.url is not None
    assert "quite-secret" in job.video.url


def test_a_link_is_shown_as_scheme_host_and_path() -> None:
    """A long link is shortened."""
    assert shown_link("https://u:p@h/a?b#c") == "https://h/a"
    assert len(shown_link("x" * 1000)) < 100
