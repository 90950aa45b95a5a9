"""Run a program, given by its path, whose clients have no method to close their connections.

Nothing else that warns is allowed.
"""

from __future__ import annotations

import runpy
import sys
import warnings

if __name__ == "__main__":
    warnings.filterwarnings("ignore", "unclosed ", ResourceWarning)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
