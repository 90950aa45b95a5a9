"""Navigation and links of the site, from the plain Markdown that GitHub shows as well."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]

_SECTION = re.compile(r"^## (.+)\n+((?:- .*\n(?:  .*\n)*)+)", re.MULTILINE)
_FIRST_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\.md\)")

_PAGES = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}
"""Pages that stand for the files outside of this folder."""


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the pages that an index lists into the sidebar, in the order of the lists."""
    if Path(docname).name != "index":
        return
    for caption, items in _SECTION.findall(source[0]):
        links = [
            f"{title} <{_PAGES.get(page.removeprefix('../'), page)}>"
            for title, page in _FIRST_LINK.findall(items)
        ]
        tree = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *links, "```"]
        source[0] += "\n" + "\n".join(tree) + "\n"


class RepositoryLinks(SphinxTransform):
    """Let links to files outside of `docs/` lead to their pages, or to the repository."""

    default_priority = 5  # before Sphinx copies the files that are linked

    def apply(self, **_: Any) -> None:
        """Replace the targets of the links in a page."""
        folder = (ROOT if self.env.docname in _PAGES.values() else ROOT / "docs") / "x"
        for kind in (pending_xref, download_reference):
            for link in list(self.document.findall(kind)):
                if link.get("reftype") == "myst":
                    self._lead(link, folder.parent)

    def _lead(self, link: Any, folder: Path) -> None:
        path = Path(os.path.normpath(folder / link["reftarget"]))
        if path.is_relative_to(ROOT / "docs"):
            return
        name = path.relative_to(ROOT).as_posix()
        if name in _PAGES:
            link["reftarget"] = _PAGES[name]
            return
        if link.get("refdomain") == "doc":  # the name of a page, without its suffix
            name += ".md"
        if (ROOT / name).exists():
            kind = "tree" if path.is_dir() else "blob"
            url = f"{self.config.html_theme_options['source_repository']}/{kind}/main/{name}"
            link.replace_self(nodes.reference("", "", *link.children, refuri=url))


def setup(app: Sphinx) -> None:
    """Connect this module with Sphinx."""
    app.connect("source-read", add_navigation)
    app.add_transform(RepositoryLinks)
