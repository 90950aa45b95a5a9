"""Changelog: its releases, and the text of one of them for its page on GitHub.

`python -m tests.changelog v0.1.0` prints that text. It fails if the tag is not that of the version
in `luma_async/version.py`, or if the release has no dated section.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ADDRESS = "https://github.com/luma-async/luma-async"
UNRELEASED = "Unreleased"

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Headings in a section, of Keep a Changelog."""

_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_RELEASE = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")
_LINK = re.compile(r"^\[([^\]\n]+)\]: (\S+)$", re.MULTILINE)
_RELATIVE = re.compile(r"(\]\()(?![a-z]+:|#)")


class ChangelogError(Exception):
    """The changelog, the version or a tag is not as it must be."""


@dataclass(frozen=True, slots=True)
class Section:
    """Section of a release, or of the changes since the last one.

    Attributes:
        name: the version, or `Unreleased`.
        date: the day of the release, `None` for unreleased changes.
        text: the text below the heading.

    """

    name: str
    date: dt.date | None
    text: str

    @property
    def kinds(self) -> list[str]:
        """Headings of the third level."""
        return re.findall(r"^### (.*)$", self.text, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Changelog:
    """Sections of a changelog, newest first, and the addresses that their names are links to."""

    sections: tuple[Section, ...]
    links: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Changelog:
        """Read a changelog.

        Raises:
            ChangelogError: a heading is not valid.

        """
        links = dict(_LINK.findall(text))
        _, *parts = _HEADING.split(_LINK.sub("", text))
        sections = (
            _section(heading, body.strip())
            for heading, body in zip(parts[::2], parts[1::2], strict=True)
        )
        return cls(tuple(sections), links)

    @property
    def releases(self) -> tuple[Section, ...]:
        """Sections of releases, newest first."""
        return tuple(section for section in self.sections if section.date is not None)

    def problems(self) -> list[str]:
        """Return sentences about mistakes in the order, the headings and the links."""
        names = [section.name for section in self.sections]
        versions = [_numbers(section.name) for section in self.releases]
        dates = [section.date for section in self.releases if section.date is not None]
        found = []
        if names[:1] != [UNRELEASED] or names.count(UNRELEASED) != 1:
            found.append(f"The first section, and no other, must be [{UNRELEASED}].")
        if versions != sorted(set(versions), reverse=True) or dates != sorted(dates, reverse=True):
            found.append("Releases must be in order, the newest first.")
        found += [
            f"{kind!r} in {section.name} must be one of {', '.join(KINDS)}."
            for section in self.sections
            for kind in section.kinds
            if kind not in KINDS
        ]
        if self.links != (links := _expected_links(self.releases)):
            found.append(f"The links at the end must be {links}.")
        return found

    def notes(self, tag: str, version: str) -> str:
        """Return the text of a release.

        Raises:
            ChangelogError: the tag, the version and the newest release are not the same.

        """
        if tag != f"v{version}":
            raise ChangelogError(f"The tag must be v{version}, the version, got {tag!r}.")
        if problems := self.problems():
            raise ChangelogError(" ".join(problems))
        newest = self.releases[0] if self.releases else None
        if newest is None or newest.name != version:
            raise ChangelogError(f"CHANGELOG.md has no section [{version}] with a date at its top.")
        if not newest.text or self.sections[0].text:
            raise ChangelogError(f"All changes must be in the section [{version}].")
        return _RELATIVE.sub(rf"\1{ADDRESS}/blob/{tag}/", newest.text) + "\n"


def _section(heading: str, text: str) -> Section:
    if heading == f"[{UNRELEASED}]":
        return Section(UNRELEASED, None, text)
    if (found := _RELEASE.fullmatch(heading)) is None:
        raise ChangelogError(f"'## {heading}' must look like '## [1.2.3] - 2026-01-31'.")
    try:
        date = dt.date.fromisoformat(found[2])
    except ValueError:
        raise ChangelogError(f"{found[2]} is not a valid date.") from None
    return Section(found[1], date, text)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _expected_links(releases: tuple[Section, ...]) -> dict[str, str]:
    tags = [f"v{section.name}" for section in releases]
    since = f"compare/{tags[0]}...HEAD" if tags else "commits/main"
    links = {UNRELEASED: f"{ADDRESS}/{since}"}
    for section, tag, earlier in zip(releases, tags, [*tags, None][1:], strict=True):
        place = f"compare/{earlier}...{tag}" if earlier else f"releases/tag/{tag}"
        links[section.name] = f"{ADDRESS}/{place}"
    return links


def version_of_project() -> str:
    """Return the version in `luma_async/version.py`, without importing the package."""
    source = (ROOT / "luma_async/version.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert found is not None
    return found[1]


def main() -> None:
    """Print the text of the release with the tag that is the only argument."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    try:
        notes = Changelog.parse(changelog).notes(sys.argv[1], version_of_project())
    except ChangelogError as error:
        sys.exit(str(error))
    sys.stdout.write(notes)


if __name__ == "__main__":
    main()
