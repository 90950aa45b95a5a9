"""Command `python -m luma_async.cli`, the same as `luma-async`."""

from luma_async.cli import main

main()
