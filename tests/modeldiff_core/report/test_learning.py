"""The learning figure and its words: the points, the law that continues them, and how many models a wish takes."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from modeldiff_core.evaluation.law import LearningCurve
from modeldiff_core.report.facts import LearningFacts
from modeldiff_core.report.learning import learning_plot, learning_words
from tests.modeldiff_core.report.comparisons import curve

SVG = "{http://www.w3.org/2000/svg}"
FACTS = LearningFacts((curve(0.44), curve(0.41)), held=100, wished=0.42)


def points(of: LearningCurve, count: int) -> LearningCurve:
    return LearningCurve(of.models[:count], of.scores[:count])


def drawn(facts: LearningFacts) -> ElementTree.Element:
    return ElementTree.fromstring(learning_plot(facts).light)


def dashed(root: ElementTree.Element) -> list[np.ndarray]:
    """Positions along each dashed line, in the figure's own units."""
    lines = [p for p in root.iter(f"{SVG}path") if "stroke-dasharray" in p.get("style", "")]
    return [np.array([float(v) for v in p.attrib["d"].replace("M", " ").replace("L", " ").split()]) for p in lines]


def test_the_figure_has_a_point_a_size_and_continues_the_law() -> None:
    root = drawn(FACTS)
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"linear datamodeling score", "models of each algorithm", "A", "B", "wished", "1,000"} <= texts
    (a, b) = (line.reshape(-1, 2) for line in dashed(root))
    markers = [g for g in root.iter(f"{SVG}g") if len(g.findall(f"{SVG}use")) == 6]
    assert len(markers) == 2, "six points of each algorithm"
    last = [[float(g.findall(f"{SVG}use")[-1].attrib[axis]) for axis in "xy"] for g in markers]
    for line, (x, y) in zip((a, b), last, strict=True):
        assert len(line) > 20
        assert line[0, 0] < x < line[-1, 0], "the law begins among the points and goes on beyond them"
        assert np.interp(x, line[:, 0], line[:, 1]) == pytest.approx(y, abs=1)
        assert (np.diff(line[:, 1]) < 0).all(), "scores grow; down the page is less"


def test_too_few_points_are_drawn_without_a_law_and_nothing_is_wished_unasked() -> None:
    facts = LearningFacts((points(FACTS.curves[0], 5), points(FACTS.curves[1], 5)), held=100, wished=None)
    root = drawn(facts)
    assert not dashed(root)
    assert "wished" not in {node.text for node in root.iter(f"{SVG}text")}
    assert learning_plot(facts).light == learning_plot(replace(facts)).light
    assert learning_words("plain", facts.curves[0], 100, 0.42) == (
        "plain: score 0.42 after 1,700 models; too few points (5 of 6) to say what more would give."
    )


def test_words_say_what_the_known_law_says() -> None:
    """Scores are plateau − 3·m^−0.7 after m fitted models, for every target but for a constant."""

    def needed(score: float) -> int:
        return 10 * round((math.pow(3 / (0.44 - score), 1 / 0.7) + 100) / 10)

    twice = 0.44 - 3 * 5900**-0.7
    said = learning_words("plain", FACTS.curves[0], 100, 0.42)
    assert said.startswith(f"plain: score 0.43 after 3,000 models; the fitted curve gives {twice:.2f} [")
    assert "after twice as many and levels off at 0.44 [" in said
    assert 1000 < needed(0.42) < 3000
    assert f"a score of 0.42 takes about {needed(0.42):,} models [" in said
    assert learning_words("plain", FACTS.curves[0], 100, None) == said.split("; a score of")[0] + "."


def test_a_wish_that_some_targets_reach_is_out_of_reach_at_best() -> None:
    """The targets' plateaus differ by ±0.02, their mean's interval by less."""
    assert "so a score of 0.50 is out of its reach." in learning_words("plain", FACTS.curves[0], 100, 0.5)
    said = learning_words("plain", FACTS.curves[0], 100, 0.443)
    assert "so a score of 0.44 is out of its reach (at best it takes " in said
    assert said.endswith(" models).")
