"""The documentation site: complete, linked, spelled, readable from disk; its commands and its first page hold."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import modeldiff_core
from harness.pages import gallery, reference
from harness.pages.links import broken, links, loaded_from_elsewhere
from harness.pages.repository import page_of, relinked

ROOT = Path(__file__).parents[2]
TWO_SCREENS = 100
"""Lines of the README at most."""


def test_every_link_and_anchor_within_the_site_leads_somewhere(site: Path) -> None:
    found = [link for link in links(site) if not link.elsewhere]
    assert len(found) > 1000
    assert broken(site) == []


def test_a_broken_link_and_a_missing_anchor_are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="other.html">x</a><a href="#here">x</a><a href="#gone">x</a><i id="here">'
    )
    (tmp_path / "page.html").write_text(
        '<a href="index.html#here">x</a><a href="index.html#lost">x</a><img src="a.png">'
    )
    assert broken(tmp_path) == [
        "index.html: other.html: no such file",
        "index.html: #gone: no such place on the page",
        "page.html: index.html#lost: no such place on the page",
        "page.html: a.png: no such file",
    ]


def test_nothing_is_loaded_over_the_network(site: Path, tmp_path: Path) -> None:
    assert loaded_from_elsewhere(site) == []
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", path.read_text()), path
    (tmp_path / "index.html").write_text(
        '<script src="https://example.org/x.js"></script><a href="https://example.org">x</a>'
    )
    assert loaded_from_elsewhere(tmp_path) == ["index.html: script https://example.org/x.js"]


def test_the_index_of_the_search_is_a_script_that_opens_from_disk(site: Path) -> None:
    text = (site / "search/search_index.js").read_text()
    found = json.loads(text.removeprefix("var __index = "))
    titles = {entry["title"] for entry in found["docs"]}
    assert {"Start here", "What a direction must pass", "Studies", "Settings"} <= titles
    assert (site / "assets/iframe-worker.js").is_file()


def test_the_reference_lists_what_the_packages_offer() -> None:
    packages = reference.packages()
    assert len(packages) > 20
    for package in packages:
        public = getattr(importlib.import_module(package.name), "__all__", [])
        assert {name.name for name in package.names} == {name for name in public if not name.startswith("__")}, package
    own = next(package for package in packages if package.name == reference.LIBRARY)
    assert {name.name for name in own.names} == {name for name in modeldiff_core.__all__ if not name.startswith("__")}


def test_every_public_function_says_something() -> None:
    silent = []
    for package in reference.packages():
        module = importlib.import_module(package.name)
        values = {name.name: getattr(module, name.name) for name in package.names}
        silent += [
            f"{package.name}.{name}"
            for name, value in values.items()
            if (inspect.isfunction(value) or inspect.isclass(value))
            and value.__module__.startswith(reference.LIBRARY)
            and not (value.__doc__ or "").strip()
        ]
    assert silent == []


def test_every_study_that_ships_is_in_the_gallery_with_its_command(site: Path) -> None:
    shipped = gallery.shipped()
    assert {study.name for study in shipped} == {path.stem for path in (ROOT / "conf/study").glob("*.yaml")}
    assert {study.kind for study in shipped} <= set(gallery.KINDS)
    page = (site / "studies.html").read_text()
    for study in shipped:
        assert study.words, study.name
        assert f"study={study.name}" in page
        assert all(f"pictures/{name}" in page for name in study.pictures)
    assert any(study.pictures for study in shipped)


def test_words_are_spelled() -> None:
    places = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "benchmarks", "conf", "harness", "modeldiff_core"]
    words = [sys.executable, "-m", "codespell_lib", "--skip", "*.png,*.svg,docs/tutorials/*", *places]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_readme_is_short_and_points_to_the_site() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= TWO_SCREENS
    assert {"docs/index.md", "docs/how-to/index.md", "docs/explanation.md"} <= set(re.findall(r"\]\(([^)]+)\)", text))
    for part in ("make demo", "make test", "make site", "docs/pictures/digits_watermark-variance.png", "0.929"):
        assert part in text


def test_links_to_files_outside_the_pages_become_links_to_pages() -> None:
    assert page_of("CHANGELOG.md") == "changelog.md"
    assert page_of("docs/examples/correlation") == "examples/correlation/README.md"
    assert page_of("modeldiff_core/errors.py") is None
    text = "[a](../benchmarks/RESULTS.md#x) [b](https://example.org) [c](#d)\n```\n[e](../CHANGELOG.md)\n```\n"
    assert relinked(text, "inputs.md") == text.replace("../benchmarks/RESULTS.md#x", "results.md#x")
    assert relinked("[a](docs/log.md)", "contributing.md") == "[a](log.md)"
    assert relinked("[a](../../CONTRIBUTING.md)", "how-to/own-parts.md") == "[a](../contributing.md)"
