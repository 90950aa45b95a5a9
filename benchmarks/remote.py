"""Videos of a batch that go to a bucket, compared with a local folder: time and memory.

`python -m benchmarks.remote` serves buckets on a free port of loopback, and prints its URL.
"""

from __future__ import annotations

import csv
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from benchmarks.batched import Measured, measure
from benchmarks.gateway import gateway
from benchmarks.programs import server
from benchmarks.row import Row

ROWS = 200
VIDEO_SIZE = 10**6
"""Bytes of each video."""

ROUNDS = 3
"""Number of runs of each kind. The quickest counts."""


def rows() -> Iterator[Row]:
    """Run the same rows into a folder and into a bucket, in turn."""
    local: list[Measured] = []
    remote: list[Measured] = []
    with tempfile.TemporaryDirectory() as name, buckets():
        folder = Path(name)
        _write_manifest(folder / "rows.csv")
        for number in range(ROUNDS):
            for runs, output in ((local, []), (remote, [f"s3://films/{number}"])):
                with gateway(median=60, speed=60, same_films=True, video_bytes=VIDEO_SIZE) as sim:
                    place = folder / f"{number}-{len(output)}"
                    runs.append(measure(sim.url, folder / "rows.csv", place, *output))
    there, here = (min(runs, key=lambda run: run.running) for runs in (remote, local))
    yield Row(
        f"{ROWS} videos of 1 MB to S3 on loopback: time, compared with a folder",
        f"{there.running:.1f} s, {there.running / here.running:.2f} times",
    )
    yield Row(
        f"{ROWS} videos of 1 MB to S3: memory beyond that of a folder, longest stall of the loop",
        f"{(there.peak_resident - here.peak_resident) / 2**20:.0f} MiB, "
        f"{there.longest_stall * 1000:.0f} ms",
        "under 150 MiB",
        there.peak_resident - here.peak_resident < 150 * 2**20,
    )
    yield Row(
        "videos that arrived in each run",
        f"{min(run.done for run in remote)}",
        f"{ROWS}",
        all(run.done == ROWS for run in (*local, *remote)),
    )


@contextmanager
def buckets() -> Iterator[None]:
    """Serve an empty bucket, films, and name it in the environment."""
    with server("remote") as (url, _):
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        urllib.request.urlopen(urllib.request.Request(f"{url}/films", method="PUT")).close()
        with patch.dict(os.environ, environment):
            yield


def _write_manifest(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "prompt"])
        writer.writerows([f"cat-{n}", f"a cat, take {n}"] for n in range(ROWS))


def _serve() -> None:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415  the measuring process needs none
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    application = DomainDispatcherApplication(create_backend_app)
    serving = make_server("127.0.0.1", 0, application, threaded=True)
    print(f"http://127.0.0.1:{serving.port}", flush=True)
    serving.serve_forever()


if __name__ == "__main__":
    _serve()
