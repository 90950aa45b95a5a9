"""Settings of Sphinx: the pages of `docs/` as a site.

The pages are plain Markdown with relative links, and GitHub shows them as well. This file adds the
parts that only a site has: the navigation, from the lists of links in `index.md`; links to files of
the repository; and the API reference, from the docstrings. A build needs no network, and the site
loads nothing from other hosts.
"""

from __future__ import annotations

import builtins
import os
import re
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.addnodes import desc_annotation, download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import stringify_annotation

import luma_async
from luma_async.generation import FrozenModel
from luma_async.run_calls import OneRequest
from luma_async.simulator.faults import SUBMISSIONS, CallName

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/luma-async/luma-async"

project = "luma-async"
author = "The luma-async authors"
copyright = author
version = release = luma_async.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4  # as on GitHub
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "luma-async"
html_baseurl = "https://luma-async.github.io/luma-async/"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = html_logo = "_static/logo.svg"
html_show_sphinx = False
pygments_dark_style = "github-dark"
html_copy_source = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
    "light_css_variables": {
        "color-brand-primary": "#4a3fd0",
        "color-brand-content": "#4a3fd0",
        "color-brand-visited": "#4a3fd0",
    },
    "dark_css_variables": {
        "color-brand-primary": "#a79fff",
        "color-brand-content": "#a79fff",
        "color-brand-visited": "#a79fff",
    },
}

# In docstrings, `name` is a link if the reference has the name.
default_role = "name"
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 110  # counted with the modules of types, which are not shown
toc_object_entries_show_parents = "hide"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    # Up to the first of these bases: the methods that every such class has are left out.
    "inherited-members": "AsyncIterator, BaseModel, BaseException, ImportError, OSError, StrEnum,"
    "dict, object",
    "exclude-members": "model_config, of_checked",
}

# Every name of the package must lead somewhere. The names of Python and of other packages are not
# links, because their documentation would have to be downloaded.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!luma_async\.).*\..*")]
nitpick_ignore = [
    # Of other packages, as the sources import them.
    *(
        ("py:class", name)
        for name in ("AbstractContextManager", "Client", "ConfigDict", "datetime", "T")
    ),
    ("py:exc", "InvalidStateError"),
    # Types of this package that no program has to name.
    *(("py:class", name) for name in ("Kind", "MediaKind", "SourceNeed")),
    *(
        ("py:class", f"luma_async.{name}")
        for name in (
            "batch.earlier_videos.EarlierVideo",
            "batch.output.Output",
            "batch.results.OutputFile",
            "image_sources.ReadsBytes",
            "image_sources.SavesItself",
            "journal.shared_journal.Change",
            "journal.shared_journal.Limit",
            "schedules.adaptive.ScheduleOfKind",
            "simulator.clock.Clock",
            "simulator.simulated_jobs.SimulatedJob",
            "transport.call.T",
            "transport.credentials.Secret",
            "webhooks.TakesCallbacks",
        )
    ),
]

PUBLIC_MODULES = ("", ".batch", ".dialects", ".simulator", ".testing", ".extras")
"""Modules of `luma_async` whose names the reference has."""

_SHORTER = {
    f" | {stringify_annotation(OneRequest, 'smart')}": "",
    " | ~luma_async.tasks.arguments.OneText | ~luma_async.tasks.arguments.OneJob": "",
    " | ~luma_async.tasks.arguments.PassAList": "",
    stringify_annotation(CallName, "smart"): "str",
    repr(SUBMISSIONS): "SUBMISSIONS",
    **{
        stringify_annotation(getattr(luma_async, name), "smart"): f"~luma_async.{name}"
        for name in luma_async.__all__
        if isinstance(getattr(luma_async, name), UnionType | type(luma_async.AspectRatio))
    },
}
"""Texts in signatures, and shorter ones in their place."""

_OF_THE_PACKAGE = (
    *(
        "HomeLoop",
        "Notifier",
        "ReadsBytes",
        "StatusChange",
        "Takeover",
        "TakesCallbacks",
        "Watcher",
    ),
)
"""Types of arguments that only the package itself makes."""

_GOOGLE = Config(napoleon_numpy_docstring=False, napoleon_attr_annotations=True)
_TYPED = re.compile(
    r"^(\.\. attribute:: .*\n(?:   :.*\n)*)\n   ((?:.*\n(?:\n(?!   :))?)*?)\n   :type: (.*)$",
    re.MULTILINE,
)
_MODULE = re.compile(r"(?<![\w.~])(?=\w+\.\w)")
_TEXT = re.compile(r"^(\.\. attribute:: .*\n(?:   :.*\n)*\n   )([a-z])", re.MULTILINE)
_SECTION = re.compile(r"^## (.+)\n+((?:- .*\n(?:  .*\n)*)+)", re.MULTILINE)
_FIRST_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\.md\)")
_NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?", re.DOTALL)
_VARIABLES = {"luma": "LumaClient", "task": "VideoTask"}
"""Variables of the examples, and the classes of their values."""

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
            url = f"{REPOSITORY}/{kind}/main/{name}"
            link.replace_self(nodes.reference("", "", *link.children, refuri=url))


class NameLinks(SphinxTransform):
    """Let names in the code of a sentence lead to the reference, such as `LumaClient.run()`."""

    default_priority = 6

    def apply(self, **_: Any) -> None:
        """Wrap the names in links. A heading is a link already, in the navigation."""
        for code in list(self.document.findall(nodes.literal)):
            text = code.astext()
            for variable, kind in _VARIABLES.items():
                text = re.sub(rf"^{variable}\.", f"{kind}.", text)
            name = _NAME.fullmatch(text)
            if name is None or name[1].partition(".")[0] not in luma_async.__all__:
                continue
            if not isinstance(code.parent, nodes.title | nodes.reference | pending_xref):
                code.replace_self(_link_to(name[1], code.deepcopy(), self.env))


class TypeNames(SphinxTransform):
    """Show types by their short names, and let no type of Python lead to a method of that name."""

    default_priority = 7

    def apply(self, **_: Any) -> None:
        """Change the types in signatures and in the values of constants."""
        for link in list(self.document.findall(pending_xref)):
            if link.get("reftype") == "class" and hasattr(builtins, link["reftarget"]):
                link.attributes.pop("refspecific", None)  # otherwise any attribute of that name
        for value in self.document.findall(desc_annotation):
            for text in list(value.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)))


def _link_to(name: str, code: nodes.literal, env: BuildEnvironment) -> pending_xref:
    """Return a link to a name of the reference. If there is no such name, it is just code."""
    link = pending_xref("", code, refdomain="py", reftype="obj", reftarget=name, optional=True)
    link["refdoc"] = env.docname
    link["py:module"] = env.ref_context.get("py:module")
    link["py:class"] = env.ref_context.get("py:class")
    return link


def name_role(
    role: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: Any,
    options: Any = None,
    content: Any = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Show a text as code, and make it a link if it is a name in the reference."""
    code = nodes.literal(rawtext, text)
    name = _NAME.fullmatch(text)
    return [_link_to(name[1], code, inliner.document.settings.env) if name else code], []


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """Find a class by the module that users import it from. Type hints have that of its source."""
    if node.get("refdomain") != "py":
        return None
    python = env.domains.python_domain
    target = node["reftarget"]
    short = target.rpartition(".")[2] if target.startswith("luma_async.") else target
    for module in PUBLIC_MODULES:
        name = f"luma_async{module}.{short}"
        if name in python.objects:
            return python.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, text)
    return text if node.get("optional") else None


def read_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Convert a docstring from Google's style.

    This is all that the extension napoleon does, but for the docstrings of properties: there, it
    takes the words before a colon for a type.
    """
    if what == "module":
        lines[:] = _error_tree(lines)
    if what == "data" and (found := _docstring_of_data(name)):
        lines[:] = [*found, ""]
    if what in ("attribute", "data", "property"):
        what = "method"
    lines[:] = GoogleDocstring(list(lines), _GOOGLE, app, what, name, value, options).lines()
    # The type is shown beside the name, not below it.
    typed = _TYPED.sub(
        lambda found: f"{found[1]}   :type: {_MODULE.sub('~', found[3])}\n\n   {found[2]}\n",
        "\n".join(lines),
    )
    lines[:] = _TEXT.sub(lambda found: found[1] + found[2].upper(), typed).split("\n")


def shorten_signature(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    options: Any,
    arguments: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Name the unions that have a public name, and leave out what only serves type checkers.

    A class that only the package makes has no arguments for users.
    """
    if arguments is None:
        return None, returns
    for text, shorter in _SHORTER.items():
        arguments = arguments.replace(text, shorter)
        returns = returns and returns.replace(text, shorter)
    if what in ("class", "exception") and not _is_made_by_users(value, arguments):
        arguments = ""
    return arguments, returns


def _is_made_by_users(value: type, arguments: str) -> bool:
    if issubclass(value, FrozenModel):
        return issubclass(value, luma_async.JobRequest) and value is not luma_async.JobRequest
    if issubclass(value, Enum | BaseException | dict) or getattr(value, "_is_protocol", False):
        return False
    return not any(type in arguments for type in _OF_THE_PACKAGE)


def leave_out_fields(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    skip: bool,
    options: Any,
) -> bool | None:
    """Leave out the fields of named tuples: the section `Attributes` has them."""
    return True if type(value).__name__ == "_tuplegetter" else None


def _error_tree(lines: list[str]) -> list[str]:
    """Return the tree of errors in the docstring of a module, with links."""
    tree = [line for line in lines if "─" in line]
    linked = (re.sub(r"\b(\w+Error)\b", r":exc:`\1`", line) for line in ["LumaError", *tree])
    return [".. parsed-literal::", "", *(f"    {line}" for line in linked), ""]


def _docstring_of_data(name: str) -> list[str] | None:
    """Return the docstring below a constant, from the module where that is defined."""
    package, _, short = name.rpartition(".")
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        if re.search(rf"^{short}\b.* = ", path.read_text("utf-8"), re.MULTILINE):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            return ModuleAnalyzer.for_module(module).find_attr_docs().get(("", short))
    return None


def setup(app: Sphinx) -> None:
    """Connect the functions above, and read all pages again if this file has changed."""
    app.add_config_value("text_of_conf", Path(__file__).read_text("utf-8"), "env", str)
    app.add_role("name", name_role)
    app.add_transform(RepositoryLinks)
    app.add_transform(NameLinks)
    app.add_transform(TypeNames)
    app.connect("source-read", add_navigation)
    app.connect("missing-reference", resolve_name)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", leave_out_fields)
    app.add_lexer("csv", TextLexer)
