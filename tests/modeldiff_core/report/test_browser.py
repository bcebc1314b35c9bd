"""The report in a real browser, from a folder: nothing broken, keys, narrow and wide screens, light and dark."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from harness.browser import browser_or_skip

SCREENS = {"narrow": {"width": 400, "height": 800}, "wide": {"width": 1600, "height": 1000}}
WIDE = SCREENS["wide"]
browser = pytest.fixture(scope="module")(browser_or_skip)


@pytest.fixture(scope="module")
def folder(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def names(files: dict[str, bytes]) -> list[str]:
    return [name for name in files if name.endswith(".html")]


def opened(browser: Browser, folder: Path, name: str, **settings) -> tuple[Page, list[str]]:
    """A page in a fresh context, and the list that whatever it complains of is added to."""
    page = browser.new_context(**settings).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url[:80]))
    page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto((folder / name).as_uri())
    return page, complaints


@dataclass(frozen=True)
class Visit:
    """What one visit of a page finds; shades are sums of red, green and blue, widths those of the page by screen."""

    complaints: list[str]
    images: list[int]
    links: set[str]
    places: set[str]
    shades: dict[str, tuple[int, int]]
    widths: dict[str, int]


def shade(of: str) -> str:
    return f"getComputedStyle(document.body).{of}.match(/\\d+/g).map(Number).reduce((a, b) => a + b)"


def visit(browser: Browser, folder: Path, name: str) -> Visit:
    """Look at a page as it opens, light and dark, and unfolded on a narrow and on a wide screen."""
    page, complaints = opened(browser, folder, name)
    links = set(page.evaluate("[...document.links].map((link) => link.href)"))
    places = set(page.evaluate("[...document.querySelectorAll('[id]')].map((e) => `${location.href}#${e.id}`)"))
    shades, widths = {}, {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shades[scheme] = page.evaluate(shade("backgroundColor")), page.evaluate(shade("color"))
    page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    images = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    for screen, viewport in SCREENS.items():
        page.set_viewport_size(viewport)
        assert page.evaluate("innerWidth") == viewport["width"]
        widths[screen] = page.evaluate("document.documentElement.scrollWidth")
    page.context.close()
    return Visit(complaints, images, links, places, shades, widths)


@pytest.fixture(scope="module")
def visits(browser: Browser, folder: Path, names: list[str]) -> dict[str, Visit]:
    """Every page, visited once for all that is asked of every page."""
    return {name: visit(browser, folder, name) for name in names}


def test_no_image_is_broken_and_nothing_is_complained_of(visits: dict[str, Visit]) -> None:
    for name, found in visits.items():
        assert all(found.images), name
        assert not found.complaints, name
    assert sum(len(found.images) for found in visits.values()) > 150


def test_every_link_leads_to_a_file_and_a_place_on_it(visits: dict[str, Visit]) -> None:
    links = {link for found in visits.values() for link in found.links}
    places = {place for found in visits.values() for place in found.places}
    assert len(links) > 40
    assert all(Path(link.partition("#")[0].removeprefix("file://")).is_file() for link in links)
    assert {link for link in links if "#" in link} <= places


def test_a_link_opens_what_it_leads_to(browser: Browser, folder: Path) -> None:
    page, _ = opened(browser, folder, "index.html")
    page.get_by_role("link", name="A−B 2", exact=True).click()
    assert page.url.endswith("other-directions.html#direction-a-b-2")
    assert page.locator("#direction-a-b-2").get_attribute("open") is not None
    assert page.locator("#direction-b-a-2").get_attribute("open") is None
    page.context.close()


def test_a_gallery_works_by_keys_alone(browser: Browser, folder: Path) -> None:
    page, complaints = opened(browser, folder, "direction-a-b-1.html")
    dialog = page.get_by_role("dialog")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.tiles button.zoom')"):
            break
    first = page.evaluate("document.activeElement.querySelector('img').alt")
    assert first.startswith("Test image"), "the first stop in a gallery is its first image"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is seen"
    small = page.evaluate("document.activeElement.querySelector('img').getBoundingClientRect().width")
    assert not dialog.is_visible()

    page.keyboard.press("Enter")
    assert dialog.is_visible()
    enlarged = dialog.locator(".stage img")
    assert enlarged.get_attribute("alt") == first
    assert enlarged.bounding_box()["width"] > 3 * small
    page.keyboard.press("ArrowRight")
    second = enlarged.get_attribute("alt")
    assert second != first
    assert dialog.locator(".caption").inner_text() == second
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    last = enlarged.get_attribute("alt")
    assert last not in (first, second), "around to the last"

    focused = "document.activeElement.querySelector('img').alt"
    for _ in range(2):
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert page.evaluate(focused) == last, "the focus is on what was shown"
        page.keyboard.press("Enter")
        assert enlarged.get_attribute("alt") == last
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == first
    page.keyboard.press("Tab")
    gallery = "[...document.querySelectorAll('[data-group]')].indexOf(document.activeElement.closest('[data-group]'))"
    assert page.evaluate(gallery) == 1, "a gallery is one stop"
    assert not complaints
    page.context.close()


def test_a_click_enlarges_and_a_click_beside_it_closes(browser: Browser, folder: Path) -> None:
    page, _ = opened(browser, folder, "index.html", viewport=WIDE)
    page.locator("#variance").get_by_role("button", name="Enlarge the figure").click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator(".stage img").evaluate("image => image.naturalWidth") > 0
    assert not dialog.get_by_role("button", name="Next image").is_visible(), "it is alone"
    page.mouse.click(3, 3)
    assert not dialog.is_visible()
    page.context.close()


@pytest.mark.parametrize("screen", ["narrow", "wide"])
def test_nothing_is_wider_than_the_screen(visits: dict[str, Visit], screen: str) -> None:
    for name, found in visits.items():
        assert found.widths[screen] <= SCREENS[screen]["width"], name


def test_a_figure_says_what_it_shows_to_who_listens(browser: Browser, folder: Path) -> None:
    shown = {
        "index.html": "Scatter plot of the variance of 4 directions",
        "transformations.html": "Effect of checker on",
    }
    for name, words in shown.items():
        page, _ = opened(browser, folder, name)
        drawings = page.locator("button.zoom:has(picture)")
        said = [drawing.get_attribute("aria-label") for drawing in drawings.all()]
        alts = [drawing.locator("img").get_attribute("alt") for drawing in drawings.all()]
        assert len(said) > 1
        assert said == [f"Enlarge the figure. {alt}" for alt in alts]
        assert any(words in each for each in said)
        page.context.close()


def test_tables_of_effects_fit_a_wide_screen(browser: Browser, folder: Path) -> None:
    for name in ("index.html", "transformations.html"):
        page, _ = opened(browser, folder, name, viewport=WIDE)
        tables = page.locator(".scroll").evaluate_all("all => all.map((one) => [one.scrollWidth, one.clientWidth])")
        assert len(tables) > 3
        assert all(needed <= given for needed, given in tables), name
        page.context.close()


def test_on_paper_nothing_is_folded_or_cut(browser: Browser, folder: Path) -> None:
    page, _ = opened(browser, folder, "other-directions.html")
    assert page.locator("details[open]").count() == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[open]").count() == page.locator("details").count() == 2
    page.context.close()
    page, _ = opened(browser, folder, "index.html")
    page.emulate_media(media="print")
    assert page.locator(".scroll").first.evaluate("one => getComputedStyle(one).overflowX") == "visible"
    assert page.locator(".who.a").first.evaluate("one => getComputedStyle(one).printColorAdjust") == "exact"
    page.context.close()


def test_dark_pages_have_dark_paper_and_figures(browser: Browser, folder: Path, visits: dict[str, Visit]) -> None:
    for name, found in visits.items():
        paper, letters = found.shades["light"]
        assert paper > 700 > 200 > letters, name
        paper, letters = found.shades["dark"]
        assert paper < 100 < 600 < letters, name
    figures = []
    for scheme in ("light", "dark"):
        page, _ = opened(browser, folder, "index.html", color_scheme=scheme)
        figures.append(page.locator("picture img").first.evaluate("image => image.currentSrc"))
        page.context.close()
    assert figures[0] != figures[1]


def test_the_study_can_be_copied(browser: Browser, folder: Path, files: dict[str, bytes]) -> None:
    page, complaints = opened(browser, folder, "methods.html", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == files["study.json"].decode()
    page.context.close()
    page, _ = opened(browser, folder, "methods.html")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.get_by_role("button", name="Copy BibTeX").click()
    page.get_by_role("button", name="Selected").wait_for()
    assert page.evaluate("getSelection().toString()").startswith("@inproceedings{shah2023modeldiff,")
    assert not complaints
    page.context.close()
