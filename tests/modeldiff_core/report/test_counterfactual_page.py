"""The page of a counterfactual check: every change in its figure and table, correlations with their intervals."""

import dataclasses
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data import Dataset
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.inventory import sections
from modeldiff_core.evaluation.counterfactual import agreement
from modeldiff_core.report.counterfactual import RemovalFacts, render_counterfactual
from tests.modeldiff_core.report.pages import Page, decoded

SVG = "{http://www.w3.org/2000/svg}"
TARGETS = (3, 14, 15, 92, 65)


def facts(name: str, slope: float, seed: int) -> RemovalFacts:
    rng = np.random.default_rng(seed)
    predicted = -rng.random(5) * 4 + 0.05 * rng.normal(size=(12, 5))
    actual = slope * predicted + 0.3 * rng.normal(size=(12, 5))
    return RemovalFacts(name, predicted, actual, agreement(predicted, actual))


BOTH = (facts("plain", 1.5, 0), facts("<b>erased</b> $x$", 0.8, 1))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return render_counterfactual("digits_watermark", 20, 0.5, TARGETS, BOTH)


def test_the_table_has_every_change_and_the_correlations(files: dict[str, bytes]) -> None:
    page = Page(files["index.html"])
    words = page.words()
    assert "For each of 5 test images, the 20 training images of largest weight" in words
    assert "12 models that no regression had seen were trained again" in words
    assert "(50 % of the training set)" in words
    for one in BOTH:
        found = one.agreement
        assert 0.9 < found.pearson < 1
        low, high = found.pearson_interval
        assert f"{one.name} {found.pearson:.2f} [{low:.2f}, {high:.2f}]" in words
        assert f"{found.slope:.2f}" in words
    for i, target in enumerate(TARGETS):
        numbers = [f"{v[:, i].mean():.2f}".replace("-", "−") for one in BOTH for v in (one.predicted, one.actual)]
        assert f"{target} {' '.join(numbers)}" in words


def test_the_table_of_the_data_is_there_and_missing_where_nothing_is_known(files: dict[str, bytes]) -> None:
    inventory = digits_with_a_copy().inventory
    drawn = render_counterfactual("digits_watermark", 20, 0.5, TARGETS, BOTH, inventory)
    words = Page(drawn["index.html"]).words()
    rows = [row for part in sections(inventory).values() for row in part]
    assert len(rows) > 10
    for row in rows:
        assert " ".join(f"{row.what} {row.train} {row.test} {row.names}".split()) in words
    assert any("test" in said for said in inventory.remarks)
    assert all(f"{said}." in words for said in inventory.remarks)
    assert "Data" not in Page(files["index.html"]).words()


def digits_with_a_copy() -> Dataset:
    data = Digits(n_train=30, n_test=20).load()
    images = data.test.images.copy()
    images[3] = data.train.images[7]
    return dataclasses.replace(data, test=dataclasses.replace(data.test, images=images))


def test_the_figure_has_a_point_with_its_error_for_every_target(files: dict[str, bytes]) -> None:
    root = ElementTree.fromstring(files["scatter.svg"])
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"predicted change of margin", "actual change of margin", "as predicted", "A: plain"} <= texts
    assert "B: <b>erased</b> $x$" in texts, "names are text and no mathematics"
    series = [g.findall(f"{SVG}use") for g in root.iter(f"{SVG}g") if len(g.findall(f"{SVG}use")) == len(TARGETS)]
    assert len(series) == 2
    for uses, one in zip(series, BOTH, strict=True):
        x, y = (np.array([float(use.attrib[axis]) for use in uses]) for axis in "xy")
        assert np.corrcoef(x, one.predicted.mean(0))[0, 1] > 0.9999
        assert np.corrcoef(-y, one.actual.mean(0))[0, 1] > 0.9999
    with Image.open(io.BytesIO(files["scatter.png"])) as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # not blank


def test_the_page_needs_no_other_file_and_comes_out_the_same(files: dict[str, bytes]) -> None:
    page = Page(files["index.html"])
    assert not page.all("script")
    assert not page.all("b")
    (image,) = page.all("img")
    assert decoded(image["src"]) == ("image/svg+xml", files["scatter.svg"])
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert render_counterfactual("digits_watermark", 20, 0.5, TARGETS, BOTH) == files
