"""Run the command line: its help, its version, a video, and a batch of two rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "luma-async")


def luma(*arguments: str) -> str:
    """Run a command, and return its stdout. Nothing may be on stderr but progress."""
    done = subprocess.run([COMMAND, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


assert luma("--version").startswith("luma-async ")
assert "generate" in luma("--help")
for command in ("batch", "mcp", "simulate"):
    assert command in luma(command, "--help")
luma("generate", "a cat dances", "--output", "generated.mp4")
assert Path("generated.mp4").is_file()
Path("rows.csv").write_text("key,prompt\ncat,a cat\ndog,a dog\n", "utf-8")
luma("batch", "rows.csv")
assert {path.name for path in Path("rows/videos").iterdir()} == {"cat.mp4", "dog.mp4"}
assert "<video" in Path("rows/gallery.html").read_text("utf-8")
luma("jobs")
