"""Run `luma-async demo`, and count its seven videos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

command = [str(Path(sys.executable).parent / "luma-async"), "demo", "--speed", "40"]
done = subprocess.run(command, check=False, capture_output=True, text=True)
assert done.returncode == 0, done.stdout + done.stderr
assert "7 rows are done." in done.stdout, done.stdout
assert len(list(Path("luma-demo/videos").glob("*.mp4"))) == 7
