"""Settings of Sphinx: the pages of `docs/` as a site.

The pages are plain Markdown with relative links, and GitHub shows them as well. The modules in
`_extensions` add the parts that only a site has. A build needs no network, and the site loads
nothing from other hosts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import luma_async

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

project = "luma-async"
author = "The luma-async authors"
copyright = author
version = release = luma_async.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "_extensions.docstrings",
    "_extensions.names",
    "_extensions.navigation",
]
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
    "source_repository": "https://github.com/luma-async/luma-async",
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


def setup(app: Sphinx) -> None:
    """Read all pages again if a setting or an extension has changed."""
    sources = [FOLDER / "conf.py", *sorted((FOLDER / "_extensions").glob("*.py"))]
    text = "".join(source.read_text("utf-8") for source in sources)
    app.add_config_value("text_of_conf", text, "env", str)
    app.add_lexer("csv", TextLexer)
