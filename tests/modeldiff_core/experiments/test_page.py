"""The page that any experiment has: what it shows, and that it needs no other file."""

import dataclasses
import re
from html import unescape

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.inventory import sections
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.page import draw_page
from modeldiff_core.report.figures import new_axes, plot
from modeldiff_core.report.files import DRAWN
from modeldiff_core.report.theme import Theme

SHOWN = Shown(
    "Sums of <numbers>", ("The first finding.", "The second & last."), (Table("All", [{"a": 1, "b": "x"}], "Of two"),)
)


def paint(figure: Figure, theme: Theme) -> None:
    new_axes(figure, theme).plot([0, 1], [0, 1], color=theme.a)


def drawn() -> dict[str, bytes]:
    return draw_page("sums", SHOWN, {"A line": plot(paint, 200, 100)}, {"name": "study", "count": 5})


def test_it_shows_findings_figures_tables_and_settings() -> None:
    files = drawn()
    page = files["index.html"].decode()
    assert "The first finding." in page
    assert "The second &amp; last." in page
    assert "Sums of &lt;numbers&gt;" in page
    assert '<th scope="col">a</th><th scope="col">b</th>' in page
    assert '<th scope="row">1</th><td>x</td>' in page
    assert "&#34;count&#34;: 5" in page
    assert files["figures/a-line.png"].startswith(b"\x89PNG")
    assert all(DRAWN.fullmatch(name) for name in files)


def test_it_has_the_table_of_the_data_where_there_are_some() -> None:
    odd, other = odd_data().inventory, dataclasses.replace(odd_data().inventory, train=7)
    page = draw_page("sums", SHOWN, {}, {}, [odd, other])["index.html"].decode()
    assert page.count("<h2 id=") == 1 + 2, "the findings, and each dataset"
    assert 'id="data"' in page
    assert 'id="data-2"' in page
    for row in (row for part in sections(odd).values() for row in part):
        assert row.what in unescape(page)
    assert any("test" in words for words in odd.remarks), "test images that are training images, too"
    assert all(words in unescape(page) for words in odd.remarks)
    assert "Data" not in drawn()["index.html"].decode()


def odd_data() -> Dataset:
    """Return four images of which one is there twice, in both parts."""
    images = np.arange(4 * 8 * 8 * 1, dtype=np.uint8).reshape(4, 8, 8, 1)
    train = Examples(images, np.array([0, 1, 0, 1]), {})
    return Dataset(train, Examples(images[:2], np.array([0, 1]), {}), ("zero", "one"))


def test_it_needs_no_other_file_and_is_the_same_every_time() -> None:
    page = drawn()["index.html"].decode()
    assert re.findall(r'(?:src|srcset)="(?!data:)', page) == []
    assert set(re.findall(r'href="([^"]+)"', page)) == {"data:,", "#main", "figures/a-line.png", "figures/a-line.svg"}
    assert drawn() == drawn()
