# mypy: disable-error-code="top-level-await"

# %% [markdown]
# # Waiting times of a few videos
#
# Run the cells in an editor that knows `# %%`, or make a notebook of the file: `jupytext --to ipynb
# notebook.py`. IPython awaits at the top level, so `asyncio.run()` is not needed.

# %%
import asyncio
import time
from collections import defaultdict

import matplotlib.pyplot as plt

from luma_async import LumaClient, State, VideoTask

# %% [markdown]
# The client stays open from cell to cell. Because of the journal, a cell that is run again pays for
# no video twice, and only submits the jobs again that have failed.

# %%
luma = await LumaClient(journal="notebook.db").open()
seen: dict[str, dict[State, float]] = defaultdict(dict)

# %%
prompts = ["a cat dances", "a dog yawns", "a cow flies", "a hen reads", "a fox sleeps"]


def note(task: VideoTask) -> None:
    """Keep the time at which the job was first seen in its present state."""
    seen[task.id].setdefault(task.state, time.monotonic())


tasks = await asyncio.gather(
    *(luma.generate(each, key=each, retry_failed=True, on_update=note) for each in prompts)
)

# %%
results = await asyncio.gather(*tasks, return_exceptions=True)
for task, result in zip(tasks, results, strict=True):
    print(f"{task.key}: {result if isinstance(result, BaseException) else result.url}")

# %% [markdown]
# The journal keeps no times of changes: a job that had ended before this run has no bar.

# %%
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for task in tasks:
    times = seen[task.id]
    submitted, ended = min(times.values()), max(times.values())
    started = times.get(State.PROCESSING, ended)
    axes.barh(task.key or task.id, started - submitted, color="lightgray")
    axes.barh(task.key or task.id, ended - started, left=started - submitted, color="tab:blue")
axes.invert_yaxis()  # the first prompt at the top
axes.set_xlabel("seconds since the submission")
axes.legend(["in the queue", "in work"])
figure.savefig("waiting-times.png", dpi=120)

# %%
completed = [task for task in tasks if task.state is State.COMPLETED]
files = [await luma.download(task, "videos/", overwrite=True) for task in completed[:1]]

# %%
await luma.aclose()
