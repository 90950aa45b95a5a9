"""The site is whole: built without a warning, and every link, image and name leads somewhere."""

from __future__ import annotations

import re

import luma_async
import luma_async.batch
import luma_async.dialects
import luma_async.simulator
import luma_async.testing
from tests.docs import PAGES, ROOT
from tests.docs_site.pages import PageParser, Site, is_elsewhere

WITHOUT_CONTENT = {"genindex.html", "py-modindex.html", "search.html"}
INTERNAL = {"VideoTask.abandon", "VideoTask.finished", "VideoTask.observe"}
"""Public methods that only the package calls. Their docstrings say so."""


def test_the_site_builds_without_a_warning(site: Site) -> None:
    """A page outside of the navigation, or a name that does not exist, would be one."""
    assert site.warnings == ""


def test_each_page_is_in_the_sidebar(site: Site) -> None:
    """The sidebar of the first page has all pages of `docs/`."""
    sidebar = site.pages["index.html"].links

    pages = {page.relative_to(ROOT / "docs") for page in PAGES if ROOT / "docs" in page.parents}
    expected = {page.with_suffix(".html").as_posix() for page in pages} - {"index.html"}
    assert expected - sidebar == set()
    assert {"installation.html", "api/client.html", "changelog.html"} <= expected


def test_every_link_and_image_leads_somewhere(site: Site) -> None:
    """Within the site, and to the headings that the links name."""
    broken = {page: found for page in site.pages if (found := site.broken(page))}

    assert broken == {}
    assert len(site.pages) > 40


def test_links_to_the_source_lead_to_the_repository(site: Site) -> None:
    """Files outside of `docs/` are no part of the site, and exist in the repository."""
    address = re.compile(r"https://github\.com/luma-async/luma-async/(?:blob|tree)/main/([^?]*)")

    links = {link for page in site.pages.values() for link in page.links}
    paths = {found[1] for link in links if (found := address.match(link))}

    assert {"examples/storyboard.py", "examples", "docs/jobs.md"} <= paths
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_nothing_is_loaded_from_another_host(site: Site) -> None:
    """No fonts, scripts or images: readers are not reported to anybody."""
    loaded = {file for page in site.pages.values() for file in page.loaded if is_elsewhere(file)}
    styles = [path.read_text("utf-8") for path in site.folder.rglob("*.css")]

    assert {file for file in loaded if not file.startswith("data:")} == set()
    assert styles
    assert [
        text for text in styles if re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text)
    ] == []


def test_every_public_name_is_in_the_reference(site: Site) -> None:
    """Under the name that users import, and on one page. Two would be a warning of the build."""
    modules = (luma_async.batch, luma_async.dialects, luma_async.simulator, luma_async.testing)
    names = {f"luma_async.{name}" for name in luma_async.__all__}
    for module in modules:
        others = set(module.__all__) - set(luma_async.__all__)
        names |= {f"{module.__name__}.{name}" for name in others}

    assert names - set(site.names) == set()
    assert {site.names[name].partition("/")[0] for name in names} == {"api"}


def test_every_public_method_is_in_the_reference(site: Site) -> None:
    """Also those that a class has from a base of this package."""
    for kind in (luma_async.LumaClient, luma_async.VideoTask, luma_async.SQLJournal):
        methods = {
            f"{kind.__name__}.{name}"
            for base in kind.__mro__
            if base.__module__.startswith("luma_async")
            for name, value in vars(base).items()
            if not name.startswith("_") and (callable(value) or isinstance(value, property))
        }
        names = {f"luma_async.{method}" for method in methods - INTERNAL}
        assert names - set(site.names) == set()


def test_the_fields_of_models_are_in_the_reference(site: Site) -> None:
    """A link can lead to each of them."""
    for model in (luma_async.Generation, luma_async.Asset, luma_async.Stats):
        fields = {f"luma_async.{model.__name__}.{name}" for name in model.model_fields}
        assert fields - set(site.names) == set()


def test_the_errors_are_links_in_their_tree(site: Site) -> None:
    """The tree at the top of their page leads to each of them."""
    links = site.pages["api/errors.html"].links
    errors = {name for name in luma_async.__all__ if name.endswith("Error")}

    assert {f"#luma_async.{name}" for name in errors} <= links


def test_names_in_the_pages_are_links_to_the_reference(site: Site) -> None:
    """Such as an error in a table."""
    assert "api/errors.html#luma_async.NoVideoError" in site.pages["errors.html"].links


def test_the_index_of_names_and_the_words(site: Site) -> None:
    """The general index has the classes and the words of the glossary."""
    links = site.pages["genindex.html"].links

    assert {"api/client.html#luma_async.LumaClient", "words.html#term-job-key"} <= links


def test_a_broken_link_is_found(site: Site) -> None:
    """The check of links can fail."""
    page = PageParser()
    page.feed('<a href="nowhere.html">a</a><a href="jobs.html#nothing">b</a><img src="no.png">')
    page.feed('<a href="#here">c</a><p id="here"><a href="jobs.html">d</a>')
    checked = Site(site.folder, "")
    checked.pages["new.html"] = page

    assert checked.broken("new.html") == ["jobs.html#nothing", "no.png", "nowhere.html"]
