"""Pages of the built site: their links, their anchors, and the files that they load."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from sphinx.util.inventory import InventoryFile

VOID = {"link", "img", "script", "source", "iframe", "video", "audio", "embed", "object", "use"}
"""Elements that load a file, unlike a link that a reader has to follow."""


@dataclass
class PageParser(HTMLParser):
    """Parser that keeps the links, the anchors and the loaded files of a page."""

    links: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if named.get("rel") == "canonical":
            return
        for name in ("href", "src", "data", "poster"):
            if name in named:
                (self.loaded if tag in VOID else self.links).add(named[name])


@dataclass(frozen=True)
class Site:
    """The built site: its folder, and the warnings of the build."""

    folder: Path
    warnings: str

    @cached_property
    def pages(self) -> dict[str, PageParser]:
        """All pages by their path in the site."""
        pages = {}
        for path in sorted(self.folder.rglob("*.html")):
            parser = PageParser()
            parser.feed(path.read_text("utf-8"))
            pages[path.relative_to(self.folder).as_posix()] = parser
        return pages

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of the API reference, each with its address in the site."""
        data = InventoryFile.loads((self.folder / "objects.inv").read_bytes(), uri="").data
        return {
            name: item.uri
            for kind, items in data.items()
            if kind.startswith("py:")
            for name, item in items.items()
        }

    def broken(self, page: str) -> list[str]:
        """Return the links of a page within the site that lead nowhere."""
        parser = self.pages[page]
        return sorted(link for link in parser.links | parser.loaded if not self._leads(page, link))

    def _leads(self, page: str, link: str) -> bool:
        if is_elsewhere(link):
            return True
        path, anchor = urldefrag(urljoin(page, link))
        target = unquote(path.partition("?")[0]) or page
        if target not in self.pages and not (self.folder / target).is_file():
            return False
        return not anchor or unquote(anchor) in self.pages[target].anchors


def is_elsewhere(link: str) -> bool:
    """Return `True` if a link leads to another host, or is not about a file."""
    return link.startswith(("http:", "https:", "//", "mailto:", "data:"))
