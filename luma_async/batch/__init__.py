"""Batches: turn a file of prompts into a folder of videos, with their results and a gallery.

>>> from luma_async.batch import Batch, read_manifest, write_gallery
>>> async with LumaClient(journal="prompts/jobs.db") as luma:                       # doctest: +SKIP
...     batch = Batch(luma, read_manifest("prompts.csv"), "prompts")
...     async for result in batch.run():
...         print(result.key, result.state, result.file or result.error)
...     write_gallery("prompts", batch.results, title="prompts", command="python make.py")
"""

from luma_async.extras import needing

with needing("yaml", "jinja2", "markupsafe", "sqlalchemy", user="luma_async.batch", extra="batch"):
    from luma_async.batch.gallery import write as write_gallery
    from luma_async.batch.manifest import Manifest, read_manifest
    from luma_async.batch.progress import Progress
    from luma_async.batch.results import Result, ResultState
    from luma_async.batch.rows import Row
    from luma_async.batch.runner import Batch

__all__ = [
    "Batch",
    "Manifest",
    "Progress",
    "Result",
    "ResultState",
    "Row",
    "read_manifest",
    "write_gallery",
]
