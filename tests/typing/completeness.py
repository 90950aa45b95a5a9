"""The types of the public API are known to pyright: `python -m tests.typing.completeness`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

PUBLIC = re.compile(r"luma_async(\.batch|\.dialects|\.simulator|\.testing)?\.[A-Z]\w*")
"""Names that users import. A name counts as unknown if one of its parts is."""


def main() -> None:
    """Print the public names with a type that pyright does not know, and exit with an error."""
    done = subprocess.run(
        ["pyright", "--verifytypes", "luma_async", "--ignoreexternal", "--outputjson"],  # noqa: S607  that of the environment
        capture_output=True,
        text=True,
        check=False,
    )
    symbols: list[dict[str, Any]] = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = {symbol["name"] for symbol in symbols if PUBLIC.fullmatch(symbol["name"])}
    unknown = [symbol["name"] for symbol in symbols if not symbol["isTypeKnown"]]
    found = sorted(public.intersection(unknown))
    print(f"{len(public)} public names, {len(found)} with unknown types", *found, sep="\n  ")
    sys.exit(bool(found) or not public)


if __name__ == "__main__":
    main()
