"""Import every public name and every module, and print those that an extra is missing for.

The output is JSON: the name of a module, and the extra that its error names, or `None`.
"""

from __future__ import annotations

import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

import luma_async
from luma_async.extras import missing_extra


def names(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the names of all modules in a folder, without importing any."""
    for module in pkgutil.iter_modules([str(folder)], f"{prefix}."):
        yield module.name
        if module.ispkg:
            yield from names(folder / module.name.rpartition(".")[2], module.name)


def is_complete(extra: str) -> bool:
    """Return `True` if all that an extra asks for is installed."""
    for line in metadata("luma-async").get_all("Requires-Dist") or ():
        if re.search(rf"extra == ['\"]{extra}['\"]", line):
            try:
                version(re.split(r"[^\w.-]", line)[0])
            except PackageNotFoundError:
                return False
    return True


missing: dict[str, str | None] = {}
for name in luma_async.__all__:
    getattr(luma_async, name)
for name in names(Path(luma_async.__file__).parent, "luma_async"):
    if name.endswith("__main__"):
        continue
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        text = missing_extra(error, user=name)
        assert text is not None, f"{name}: {error}"
        command = re.search(r': pip install (?:"luma-async\[(\w+)\]"|pytest)$', text)
        assert command is not None, text
        assert command[1] is None or not is_complete(command[1]), f"{name}: {text}, but it is there"
        missing[name] = command[1]
json.dump(missing, sys.stdout)
