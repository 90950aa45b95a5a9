"""The changelog keeps its form, and a release takes its text from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.changelog import ADDRESS, ROOT, Changelog, ChangelogError, version_of_project

RELEASED = f"""# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

A second release.

### Added

- A [page](docs/jobs.md#jobs), and [another](https://example.com/).

### Fixed

- A mistake.

## [0.1.0] - 2026-11-30

### Added

- All.

[Unreleased]: {ADDRESS}/compare/v0.2.0...HEAD
[0.2.0]: {ADDRESS}/compare/v0.1.0...v0.2.0
[0.1.0]: {ADDRESS}/releases/tag/v0.1.0
"""


def project() -> Changelog:
    return Changelog.parse((ROOT / "CHANGELOG.md").read_text("utf-8"))


def test_the_changelog_of_the_project_has_the_form() -> None:
    """Keep a Changelog: its headings, dates and order, and a link to the code of each release."""
    assert project().problems() == []


def test_the_version_is_the_newest_release_or_the_next_one() -> None:
    """A change after a release raises the version, so that nothing else has its number."""
    changelog = project()
    version = tuple(map(int, version_of_project().split(".")))
    released = [tuple(map(int, release.name.split("."))) for release in changelog.releases]

    assert not released or version >= released[0]
    assert changelog.sections[0].text or (released and version == released[0])


def test_the_text_of_a_release() -> None:
    """It is the section without its heading, with links that lead somewhere from any page."""
    notes = Changelog.parse(RELEASED).notes("v0.2.0", "0.2.0")

    assert notes == (
        "A second release.\n\n### Added\n\n"
        f"- A [page]({ADDRESS}/blob/v0.2.0/docs/jobs.md#jobs), and [another](https://example.com/)."
        "\n\n### Fixed\n\n- A mistake.\n"
    )


@pytest.mark.parametrize(
    ("tag", "version", "text", "problem"),
    [
        ("v0.2.1", "0.2.0", RELEASED, "The tag must be v0.2.0"),
        ("0.2.0", "0.2.0", RELEASED, "The tag must be v0.2.0"),
        ("v0.3.0", "0.3.0", RELEASED, "no section [0.3.0]"),
        ("v0.1.0", "0.1.0", RELEASED, "no section [0.1.0] with a date at its top"),
        (
            *("v0.2.0", "0.2.0"),
            RELEASED.replace("[Unreleased]\n", "[Unreleased]\n\n### Added\n\n- More.\n", 1),
            "must be in the section [0.2.0]",
        ),
    ],
    ids=["another tag", "no v", "unknown", "an old one", "unreleased changes"],
)
def test_a_release_that_is_not_ready(tag: str, version: str, text: str, problem: str) -> None:
    """Nothing is published under a number that is not that of the code."""
    with pytest.raises(ChangelogError) as raised:
        Changelog.parse(text).notes(tag, version)

    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("### Fixed", "### Repaired", "'Repaired' in 0.2.0 must be one of Added, Changed"),
        ("## [Unreleased]\n\n", "", "The first section"),
        ("[0.2.0] - 2026-12-01", "[0.0.9] - 2026-12-01", "in order"),
        ("[0.2.0] - 2026-12-01", "[0.2.0] - 2026-11-29", "in order"),
        ("compare/v0.2.0...HEAD", "compare/v0.1.0...HEAD", "The links at the end"),
        ("## [0.2.0] - 2026-12-01", "## 0.2.0 (unreleased)", "must look like"),
        ("2026-12-01", "2026-13-01", "not a valid date"),
    ],
)
def test_a_changelog_with_a_mistake(right: str, wrong: str, problem: str) -> None:
    """The check of the form can fail."""
    assert right in RELEASED
    try:
        found = Changelog.parse(RELEASED.replace(right, wrong, 1)).problems()
    except ChangelogError as error:
        found = [str(error)]

    assert any(problem in sentence for sentence in found), found


def test_the_program_of_the_release_workflow() -> None:
    """It prints nothing and fails for a tag that is not ready, with a sentence that says why."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.changelog", "v9.9.9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"The tag must be v{version_of_project()}, the version, got 'v9.9.9'.\n"
