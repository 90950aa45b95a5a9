"""An S3 server for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.batch.buckets import S3Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server
