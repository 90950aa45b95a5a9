"""Files that only GitHub, pre-commit or PyPI reads are right before they get there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.changelog import ADDRESS
from tests.docs import PAGES as DOCUMENTATION
from tests.docs import ROOT

GITHUB = ROOT / ".github"
SITE = "https://luma-async.github.io/luma-async/"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"))

SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "dependabot": [GITHUB / "dependabot.yml"],
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
}
"""Files by the schemas that check-jsonschema brings along: no network is needed."""

PAGES = [ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", GITHUB / "PULL_REQUEST_TEMPLATE.md"]

_RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
_COMMAND = re.compile(r"(?:^|\s)(make|python -m|\./|\.ci/)\s*([\w./-]+)", re.MULTILINE)

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def steps_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_follow_the_schemas_of_github(schema: str) -> None:
    """A key that is wrong would be ignored, or would stop a workflow only when it is to run."""
    assert SCHEMAS[schema]
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run(
        [*program, *map(str, SCHEMAS[schema])],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@workflows
def test_a_workflow_has_few_rights_and_an_end(path: Path) -> None:
    """It may only read unless a job asks for more, and no token stays in the checkout."""
    workflow = load(path)

    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for step in steps_of(workflow):
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@workflows
def test_an_action_is_named_by_its_commit(path: Path) -> None:
    """A tag can be moved to other code. The comment names the version; dependabot keeps both."""
    lines = [line for line in path.read_text("utf-8").splitlines() if " uses: " in line]

    assert len(lines) == sum("uses" in step for step in steps_of(load(path)))
    for line in lines:
        assert re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@workflows
def test_a_workflow_calls_what_exists(path: Path) -> None:
    """Targets of make, modules of this project, scripts, and files by their paths."""
    commands = [step["run"] for step in steps_of(load(path)) if "run" in step]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    known = {"pip", "build", "twine", "pytest"}
    missing = []
    for kind, name in _COMMAND.findall("\n".join(commands)):
        if kind == "make":
            is_there = re.search(rf"^{name}:", makefile, re.MULTILINE) is not None
        elif kind == "python -m":
            module = ROOT / f"{name.replace('.', '/')}.py"
            is_there = name in known or module.is_file()
        else:
            is_there = (ROOT / kind / name).is_file()
        if not is_there:
            missing.append(f"{kind} {name}")
    names = re.findall(r"\btests/[\w./-]+", "\n".join(commands))
    missing += [name for name in names if not (ROOT / name).exists()]

    assert missing == []


def test_each_supported_python_is_tested() -> None:
    """The classifiers, `requires-python`, the page of the installation and the workflow agree."""
    metadata = project()["project"]
    heads = [c.rpartition(" ")[2] for c in metadata["classifiers"] if "Python :: 3." in c]
    jobs = load(GITHUB / "workflows/ci.yml")["jobs"]

    assert jobs["linux"]["strategy"]["matrix"]["python"] == heads
    assert set(jobs["elsewhere"]["strategy"]["matrix"]["python"]) <= set(heads)
    assert metadata["requires-python"] == f">={heads[0]}"
    assert project()["tool"]["ruff"]["target-version"] == f"py{heads[0].replace('.', '')}"
    sentence = f"Python {', '.join(heads[:-1])} and {heads[-1]} are supported."
    assert any(sentence in page.read_text("utf-8") for page in DOCUMENTATION)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """In pages that are not part of the documentation, too."""
    links = _RELATIVE_LINK.findall(page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_links_to_pages_of_the_site(form: Path) -> None:
    """Each page of the site is one of `docs/`."""
    links = re.findall(rf"{re.escape(SITE)}([\w-]+)\.html", form.read_text("utf-8"))

    assert [name for name in links if not (ROOT / "docs" / f"{name}.md").is_file()] == []


def test_a_report_has_no_secrets() -> None:
    """Forms that ask for a log ask for a look at it first."""
    for form in FORMS:
        fields = {field.get("id"): field for field in load(form)["body"]}
        if "log" in fields:
            [option] = fields["secrets"]["attributes"]["options"]
            assert option["required"]
            assert "API key" in option["label"]


def test_security_problems_are_reported_in_private() -> None:
    """The policy, the form for bugs and the link beside the forms name the same address."""
    address = f"{ADDRESS}/security/advisories/new"

    for name in (
        "SECURITY.md",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
    ):
        assert address in (ROOT / name).read_text("utf-8"), name


def test_hooks_before_a_commit_are_local() -> None:
    """They name no repository, and their programs have the bounds of pyproject.toml."""
    groups = project()["dependency-groups"]
    bounds = {bound for group in groups.values() for bound in group if isinstance(bound, str)}
    repositories = load(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]

    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {bound for hook in hooks for bound in hook["additional_dependencies"]} <= bounds
