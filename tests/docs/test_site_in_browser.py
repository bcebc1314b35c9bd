"""The site opened from disk in a real browser: light, dark, on a phone, searched and printed, without a network."""

from pathlib import Path
from typing import Any

import pytest

from harness.browser import browser_or_skip

PAGES = (
    "index",
    "studies",
    "calibration",
    "reference/comparison/index",
    "reference/comparison/permuted_differences",
    "reference/python/compare",
    "reference/plan/Step",
    "reference/settings",
    "tutorials/first_comparison",
)

browser = pytest.fixture(scope="module")(browser_or_skip)
pytestmark = pytest.mark.nightly


def page_of(browser: Any, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
    """A page without a network, and what went wrong on it."""
    page = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, offline=True).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
    )
    return page, wrong


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_nothing_goes_wrong(browser: Any, site: Path, width: int, scheme: str) -> None:
    page, wrong = page_of(browser, width, scheme)
    for name in PAGES:
        page.goto(f"file://{site}/{name}.html")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        ground = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)"
        )
        assert (sum(ground) / 3 < 80) == (scheme == "dark"), name
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), name
    assert wrong == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_search_finds_names_and_pages_from_disk(browser: Any, site: Path, width: int) -> None:
    page, wrong = page_of(browser, width)
    page.goto(f"file://{site}/index.html")
    page.click(".md-header label[for=__search]:visible" if width < 800 else ".md-search__input")
    for words, first in (
        ("residual_pca", "comparison/residual_pca.html"),
        ("StoreSettings", "store/StoreSettings.html"),
    ):
        page.keyboard.type(words, delay=20)
        page.wait_for_selector(f".md-search-result__item a[href*='{first.partition('/')[2]}']", timeout=10_000)
        links = page.eval_on_selector_all(".md-search-result__item a", "links => links.map(link => link.href)")
        assert f"reference/{first}" in links[0]
        for _ in words:
            page.keyboard.press("Backspace")
    page.goto(links[0])
    assert "StoreSettings" in page.inner_text("article h1")
    assert wrong == []


def test_what_is_printed_is_the_text(browser: Any, site: Path) -> None:
    page, _ = page_of(browser)
    page.goto(f"file://{site}/how-to/reading-a-report.html")
    page.emulate_media(media="print")
    shown = {name: page.is_visible(name) for name in (".md-header", ".md-tabs", ".md-sidebar--primary", "article h1")}
    assert shown == {".md-header": False, ".md-tabs": False, ".md-sidebar--primary": False, "article h1": True}
    assert page.pdf(format="A4").startswith(b"%PDF")
