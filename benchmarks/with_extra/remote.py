"""Run a batch whose videos go to a URL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

Path("remote.csv").write_text("key,prompt\ncat,a cat\ndog,a dog\n", "utf-8")
luma = str(Path(sys.executable).parent / "luma-async")
bucket = Path("bucket").absolute()
done = subprocess.run(
    [luma, "batch", "remote.csv", "--output", bucket.as_uri()],
    check=False,
    capture_output=True,
    text=True,
)
assert done.returncode == 0, done.stdout + done.stderr
assert {path.name for path in (bucket / "videos").iterdir()} == {"cat.mp4", "dog.mp4"}
assert "Warning" not in done.stderr, done.stderr
