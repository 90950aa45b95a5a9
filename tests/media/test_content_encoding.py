"""Files with a `Content-Encoding` that was not requested are decoded."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from luma_async import DownloadError, LumaClient
from luma_async.media.content_encoding import (
    PIECE_SIZE,
    DecodingError,
    content_encodings,
    decoder_for,
)
from tests.media.hosts import MP4, at, host

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def _raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "X-GZip": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "deflate": zlib.compress,
    "Deflate": _raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "utf-8": bytes,
    "gzip, identity": bytes,  # it is not
    "binary": bytes,
}


@pytest.mark.parametrize("coding", CODERS)
async def test_a_file_is_the_same_in_any_encoding(coding: str, tmp_path: Path) -> None:
    """Known encodings are decoded, and a wrong header does not prevent the download."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Accept-Encoding"])
        headers = {"Content-Encoding": coding, "ETag": '"1234567890abcdef"'}
        return web.Response(body=CODERS[coding](MP4), content_type="video/mp4", headers=headers)

    async with host(serve) as url, LumaClient("k", base_url=url) as luma:
        path = await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")

    assert path.read_bytes() == MP4
    assert asked == ["identity"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_truncated_encoded_file_is_rejected(coding: str, tmp_path: Path) -> None:
    """No part of it is kept, although all announced bytes have arrived."""
    content = CODERS[coding](MP4)

    async def serve(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": coding, "ETag": '"1234567890abcdef"'}
        return web.Response(body=content[:-9], content_type="video/mp4", headers=headers)

    async with host(serve) as url, LumaClient("k", base_url=url, max_tries=1) as luma:
        with pytest.raises(DownloadError, match="truncated"):
            await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_the_maximum_size_holds_for_decoded_content(coding: str, tmp_path: Path) -> None:
    """A few encoded bytes cannot fill the disk."""
    content = CODERS[coding](MP4 + bytes(8 * PIECE_SIZE))

    async def serve(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": coding}
        return web.Response(body=content, content_type="video/mp4", headers=headers)

    async with (
        host(serve) as url,
        LumaClient("k", base_url=url, max_download_bytes=2 * PIECE_SIZE) as luma,
    ):
        with pytest.raises(DownloadError, match=f"max_download_bytes is {2 * PIECE_SIZE}"):
            await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@given(data=st.data())
def test_a_decoder_restores_the_content(coding: str, data: st.DataObject) -> None:
    """Any split into chunks gives the same content, and no piece exceeds the maximum size."""
    content = data.draw(st.binary(max_size=200)) * data.draw(st.sampled_from([1, 20_000]))
    coded = CODERS[coding](content)
    size = data.draw(st.integers(1, max(1, len(coded))))
    one = decoder_for(coding)
    assert one is not None

    pieces = [
        piece
        for start in range(0, len(coded), size)
        for piece in one.decode(coded[start : start + size])
    ]

    assert b"".join(pieces) == content
    assert max(map(len, pieces), default=0) <= PIECE_SIZE
    assert one.is_at_end


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@given(content=st.binary(min_size=1, max_size=100))
def test_invalid_content_raises_a_decoding_error(coding: str, content: bytes) -> None:
    """There is no other exception, and decoding always ends."""
    one = decoder_for(coding)
    assert one is not None
    try:
        for _ in one.decode(content):
            pass
    except DecodingError:
        pass


def test_a_header_names_encodings() -> None:
    """Encodings are returned in the order in which they were applied."""
    assert content_encodings(" GZip;q=1,BR ,identity") == ("gzip", "br")
    assert content_encodings("") == ()
    assert decoder_for("utf-8") is None
