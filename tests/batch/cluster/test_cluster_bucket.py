"""Workers of a cluster that upload to a bucket have their own keys, checked before any payment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import distributed
import pytest
from s3fs import S3FileSystem

from luma_async import BatchError
from luma_async.batch import cluster_worker
from luma_async.batch.cluster_run import ClusterRun
from tests.batch.buckets import SECRET, S3Server, credentials
from tests.batch.cluster.workers_here import run_on_cluster, start_workers_here
from tests.batch.runs import a_manifest, cats, small

BUCKET = "films"
URL = f"s3://{BUCKET}/cats"


@pytest.fixture(autouse=True)
def bucket(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make an empty bucket, and start workers that have the same keys as the test."""
    server.call("POST", "moto-api/reset")
    server.call("PUT", BUCKET)
    for name, value in credentials(f"http://127.0.0.1:{server.port}").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    start_workers_here(monkeypatch)
    yield
    server.check_keys(strictly=False)
    S3FileSystem.clear_instance_cache()


def on_another_machine(monkeypatch: pytest.MonkeyPatch, begin: Callable[[], None]) -> None:
    """Call a function before a worker joins a run. Its filesystems are none of this process."""
    real = cluster_worker._joined

    def joined(run: ClusterRun, worker: distributed.Worker) -> cluster_worker.WorkerRun:
        begin()
        S3FileSystem.clear_instance_cache()
        return real(run, worker)

    monkeypatch.setattr(cluster_worker, "_joined", joined)


def keys_of_a_reader(server: S3Server) -> dict[str, str]:
    """Return the environment of a user who may read and list objects, and not write any."""
    iam: Any = botocore.session.get_session().create_client(
        "iam", endpoint_url=f"http://127.0.0.1:{server.port}"
    )
    rights = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    iam.close()
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


async def test_workers_upload_to_a_bucket(server: S3Server, tmp_path: Path) -> None:
    """Nothing else is left there than the videos and the results."""
    async with small() as sim:
        await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=URL)

    assert server.sizes(BUCKET).keys() == {"cats/results.jsonl", "cats/videos/cat-0.mp4"}


@pytest.mark.parametrize("keys", ["missing", "invalid"])
async def test_a_worker_without_keys_of_the_bucket_is_told_before_anything_is_submitted(
    keys: str, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the worker, the bucket and the reason, and not the keys."""

    def begin() -> None:
        if keys == "missing":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
        else:
            server.check_keys(strictly=True)

    on_another_machine(monkeypatch, begin)
    async with small() as sim:
        with pytest.raises(BatchError, match=rf"^The worker at .*{URL} cannot be read: ") as caught:
            await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=URL)

        assert not sim.ledger.requests
    assert "Each worker needs its own credentials" in str(caught.value)
    assert str(caught.value).count("Nothing was submitted.") == 1
    assert SECRET not in str(caught.value)


async def test_a_worker_that_may_only_read_is_told_before_anything_is_submitted(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be paid for, and their videos would stay on its disk."""
    reader = keys_of_a_reader(server)

    def begin() -> None:
        for name, value in reader.items():
            monkeypatch.setenv(name, value)
        server.check_keys(strictly=True)

    on_another_machine(monkeypatch, begin)
    async with small() as sim:
        with pytest.raises(
            BatchError, match=rf"^The worker at .*{URL} cannot be written to"
        ) as caught:
            await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=URL)

        assert not sim.ledger.requests
    assert "Access Denied" in str(caught.value)
