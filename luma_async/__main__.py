"""Command `python -m luma_async`, the same as `luma-async`."""

from luma_async.cli import main

main()
