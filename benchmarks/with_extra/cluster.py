"""Run a batch on a Dask cluster of two workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

Path("cluster.csv").write_text("key,prompt\ncat,a cat\ndog,a dog\n", "utf-8")
luma = str(Path(sys.executable).parent / "luma-async")
done = subprocess.run(
    [luma, "batch", "cluster.csv", "--cluster", "local:2"],
    check=False,
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stdout + done.stderr
assert {path.name for path in Path("cluster/videos").iterdir()} == {"cat.mp4", "dog.mp4"}
assert "Warning" not in done.stderr, done.stderr
