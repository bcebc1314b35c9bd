"""Reports of rows, numbers, texts and a league in a real browser: narrow and wide, light and dark, printed."""

from pathlib import Path
from typing import Any

import pytest

from harness.browser import browser_or_skip
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress
from tests.modeldiff_core.experiments.compare.test_kinds import NUMBER, TABLE, TEXT
from tests.modeldiff_core.experiments.league.leagues import SMALLER

STUDIES = {"number": NUMBER, "rows": TABLE, "texts": TEXT, "league": SMALLER}
WIDTHS = (390, 1280)

browser = pytest.fixture(scope="module")(browser_or_skip)
pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module", params=STUDIES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The kind of a study, and the folder of its report."""
    root = tmp_path_factory.mktemp(request.param)
    run_study(STUDIES[request.param], root, progress=NoProgress())
    experiment, _ = open_experiment(STUDIES[request.param], root)
    return request.param, root / experiment.folder / "report"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_and_can_be_read(browser: Any, report: tuple[str, Path], width: int, scheme: str) -> None:
    kind, folder = report
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, offline=True)
    page, wrong, captions = context.new_page(), [], 0
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for path in sorted(folder.glob("*.html")):
        page.goto(path.as_uri())
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)")
        assert (sum(ground[:3]) / 3 < 80) == (scheme == "dark"), path.name
        for text, caption in page.evaluate(
            "[...document.querySelectorAll('.passages li:has(.caption-line)')].map(one => "
            "['.text', '.caption-line'].map(part => one.querySelector(part).getBoundingClientRect().toJSON()))"
        ):
            captions += 1
            assert caption["top"] >= text["bottom"] - 4, "a caption has a line of its own"
    assert wrong == []
    assert (captions > 10) == (kind != "league")
    context.close()


def test_words_that_a_change_has_put_there_are_marked(browser: Any, report: tuple[str, Path]) -> None:
    kind, folder = report
    changes = folder / "transformations.html"
    if kind == "league":
        assert not changes.exists() or "<mark" not in changes.read_text(), "the pages of pairs show changes"
        return
    page = browser.new_page()
    page.goto(changes.as_uri())
    marked = set(page.locator(".passages.changes mark").all_inner_texts())
    assert {"rows": "4", "texts": "zyzzyva"}.get(kind, max(marked)) in marked


def test_what_is_printed_holds_every_passage(browser: Any, report: tuple[str, Path]) -> None:
    _, folder = report
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    page.emulate_media(media="print")
    assert page.is_visible("h1")
    assert not any(one.is_visible() for one in page.locator(".downloads").all())
    assert page.pdf(format="A4").startswith(b"%PDF")
