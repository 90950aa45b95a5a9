"""Names of the package as links to the reference."""

from __future__ import annotations

import builtins
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import desc_annotation, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

import luma_async

PUBLIC_MODULES = ("", ".batch", ".dialects", ".simulator", ".testing", ".extras")
"""Modules of `luma_async` whose names the reference has."""

_NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?", re.DOTALL)

_VARIABLES = {"luma": "LumaClient", "task": "VideoTask"}
"""Variables of the examples, and the classes of their values."""


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


def setup(app: Sphinx) -> None:
    """Connect this module with Sphinx."""
    app.add_role("name", name_role)
    app.add_transform(NameLinks)
    app.add_transform(TypeNames)
    app.connect("missing-reference", resolve_name)
