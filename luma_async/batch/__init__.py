"""Batches: turn a file of prompts into a folder of videos, with their results and a gallery.

>>> from luma_async.batch import Batch, LiveGallery, read_manifest
>>> async with LumaClient(journal="prompts/jobs.db") as luma:                       # doctest: +SKIP
...     batch = Batch(luma, read_manifest("prompts.csv"), "prompts")
...     async with LiveGallery(batch, title="prompts", command="python make.py"):
...         async for result in batch.run():
...             print(result.key, result.state, result.file or result.error)
"""

from luma_async.extras import needing

with needing("yaml", "jinja2", "markupsafe", "sqlalchemy", user="luma_async.batch", extra="batch"):
    from luma_async.batch.cluster import ClusterBatch
    from luma_async.batch.gallery import write as write_gallery
    from luma_async.batch.live_gallery import LiveGallery
    from luma_async.batch.manifest import Manifest, read_manifest
    from luma_async.batch.progress import Progress, RunningRow, Stage
    from luma_async.batch.results import Result, ResultState
    from luma_async.batch.rows import Row
    from luma_async.batch.runner import Batch

__all__ = [
    "Batch",
    "ClusterBatch",
    "LiveGallery",
    "Manifest",
    "Progress",
    "Result",
    "ResultState",
    "Row",
    "RunningRow",
    "Stage",
    "read_manifest",
    "write_gallery",
]
