"""The whole log at DEBUG has no API key, no signature of a link and no image."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from luma_async import LumaClient, LumaError
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import KEY, connect, until

OURS = {"luma_async", "luma_async.http"}


def whole(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that a formatter can print of the records: texts, arguments, errors, extras."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    records = [record for record in caplog.records if record.name.startswith("luma_async")]
    return "\n".join(formatter.format(record) + repr(vars(record)) for record in records)


def forms_of(key: str) -> list[str]:
    """Return an API key as it is, quoted, and in Base64 at each offset, alone and in a header."""
    padded = [base64.b64encode(b"x" * n + key.encode()).decode()[4:-4] for n in range(3)]
    return [key, quote(key, safe="").replace("-", "%2D"), key[:12], *padded]


async def test_the_whole_log_of_a_run_has_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Submissions, looks, retries, signed links, downloads, a journal; then a rejected API key."""
    caplog.set_level(logging.DEBUG, "luma_async")
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    image = picture.getvalue()
    journal = tmp_path / "jobs.db"
    links: list[str] = []
    async with Simulator(durations=Fixed(0.1), short_side=60, api_key=KEY) as sim:
        async with connect(sim, journal=journal, timeout=5) as luma:
            sim.faults.add(Fault.rate_limited(retry_after=0, times=1))
            tasks = [await luma.generate("a cat", image=image, key="cat")]
            tasks += [await luma.generate(f"dog {n}") for n in range(2)]
            for task in tasks:
                video = await task
                links += [str(video.video and video.video.url)]
                links += [await luma.watermark_free_url(task.id)]
                await luma.download(task, tmp_path / f"{task.id}.mp4")
            with pytest.raises(LumaError):
                await luma.get(KEY)  # in place of an id

        reason = f"upstream said {KEY} {base64.b64encode(f'user:{KEY}'.encode()).decode()}"
        async with connect(sim) as luma:
            task = await luma.generate("a cow")
            failed = {"id": task.id, "state": "failed", "failure_reason": reason}
            sim.faults.add(Fault.answer(json.dumps(failed).encode(), on=["get"]))
            with pytest.raises(LumaError):
                await task
        sim.faults.clear()
        rejected = "sk-a-key-that-is-revoked-by-now"
        async with LumaClient(rejected, base_url=sim.url, max_tries=1) as luma:
            for call in (luma.generate, luma.get, luma.watch):
                with pytest.raises(LumaError):
                    await call("a cat")

    log = whole(caplog)
    assert len(log.splitlines()) > 30
    for key in (KEY, rejected):
        assert [form for form in forms_of(key) if form in log] == []
    assert "Bearer" not in log
    signatures = [part for link in links for part in re.split("[=&]", urlsplit(link).query)]
    assert any(len(part) > 8 for part in signatures)
    assert [part for part in signatures if len(part) > 8 and part in log] == []
    assert base64.b64encode(image).decode()[:40] not in log
    assert repr(image)[2:40] not in log
    assert {record.name for record in caplog.records if "luma" in record.name} == OURS
    assert not any(record.name == "backoff" for record in caplog.records)


async def test_a_download_is_told_by_its_host_and_bytes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the path of a link nor its query is there, for each may be enough to fetch a file."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(0.0), short_side=60) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        await task
        sim.faults.add(Fault.answer(b"", status=503, on=["media"], times=1))
        path = await luma.download(task, tmp_path / "cat.mp4")
        await until(lambda: "was downloaded" in caplog.text)

    http = [record for record in caplog.records if record.name == "luma_async.http"]
    told = [text for record in http if (text := record.getMessage()).startswith("GET 127.")]
    failed, came = told
    assert re.fullmatch(r"GET 127\.0\.0\.1: 503, 0 bytes after [\d.]+ s \(try 1\)", failed)
    size = path.stat().st_size
    pattern = rf"GET 127\.0\.0\.1: 200, {size} bytes after [\d.]+ s \(try 2\)"
    assert re.fullmatch(pattern, came)
