"""What pages say and show: findings, directions and their ends, effects, plain differences, numbers in words."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.report import render
from modeldiff_core.report.dose_response import margin_limits, probability_limits
from modeldiff_core.report.ends import class_counts, ends
from modeldiff_core.report.figures import noise_floor
from modeldiff_core.report.images import tile
from modeldiff_core.report.subpopulations import difference_picture
from modeldiff_core.report.words import flat, number, percent, probability
from tests.modeldiff_core.report.comparisons import END, PLANT
from tests.modeldiff_core.report.pages import Page


def test_what_is_not_significant_is_marked_and_folded(pages):
    folded = pages["other-directions"].by_id("direction-a-b-2")
    assert "open" not in folded
    assert "faint" in folded["class"].split()
    assert "not significant" in pages["other-directions"].words("direction-a-b-2")
    assert "not significant" not in pages["direction-a-b-1"].words()
    table = pages["index"].words("directions").split("All directions")[1]
    assert table.index("A−B 1") < table.index("A−B 2") < table.index("B−A 1") < table.index("B−A 2")
    assert "0.91 0.64 yes —" in table
    assert table.count("0.91 0.64 no 4,321") == 2  # models that they would need


def test_the_summary_begins_with_three_findings(page):
    assert page.words("findings") == (
        "Findings The mark moves A & not B. Second. Third. How far this can be relied on."
    )
    (top,) = page.all("ol")
    assert top["class"] == "findings"
    assert [name for name, _ in page.elements].count("li") == 3 + 2 + 2 + 12, "findings, cards, learning curves, spread"


def test_a_direction_says_what_its_ends_share(facts, pages):
    first = facts.directions[0]
    top = np.argsort(-first.projections)[:12]
    planted = int(facts.targets.metadata["planted"][top].sum())
    assert planted >= 10  # the projections follow the mark
    overall = percent(facts.targets.metadata["planted"].mean())
    words = pages["direction-a-b-1"].words()
    assert " ".join(f"planted: {planted} of 12 ({overall} of all)".split()) in words
    label, count = Counter(facts.targets.labels[top].tolist()).most_common(1)[0]
    assert label == PLANT.label
    assert f"{facts.classes[label]} ({count} of 12)" in words
    assert "planted: 0 of 12" in words
    assert number(first.projections.max(), signed=True) in words
    assert number(first.projections.min(), signed=True) in words
    assert "0.0110" in words
    assert "in-sample 0.0200" in words


def test_an_end_says_and_shows_what_its_images_share(pages):
    words = pages["direction-a-b-1"].words()
    assert "What the 7 furthest share:" in words
    assert "brighter by 9 [5, 12] than other images of the same classes" in words
    assert "difference to ±120" in words
    assert "furthest share" not in pages["direction-b-a-1"].words()
    picture = difference_picture(END.image.difference)
    assert picture[0, 0, 2] > picture[0, 0, 0], "darker is blue"
    assert picture[-1, -1, 0] > picture[-1, -1, 2], "brighter is red"
    nearest = np.unravel_index(np.abs(END.image.difference[..., 0]).argmin(), (8, 8))
    assert picture[nearest].min() > 250, "no difference is white"
    color = np.zeros((2, 2, 3))
    color[0, 0, 1] = -30
    np.testing.assert_array_equal(difference_picture(color)[0], [[128, 0, 128], [128, 128, 128]])


def test_only_what_the_search_confirmed_is_drawn(pages, files):
    effects = pages["transformations"].words("main")
    assert "1 of 2 was confirmed." in effects
    assert "Along A−B 1, B−A 2." in effects
    assert "strongest patch → class 8 distinguishing" in effects
    assert "less contrast B−A 1 own class +2.0 [0.0, 4.0]" in effects
    assert "The search confirmed along this direction: strongest patch" in pages["direction-a-b-1"].words()
    assert "+4.40 [4.10, 4.40]" not in effects
    assert "+4.30 [4.10, 4.40]" in effects
    assert [name for name in files if "found" in name] == [
        "figures/found-01-strongest-patch-8-images.png",
        "figures/found-01-strongest-patch-8-images.svg",
        "figures/found-01-strongest-patch-8.png",
        "figures/found-01-strongest-patch-8.svg",
    ]


def test_the_tables_tell_settings_scores_and_effects(page, pages):
    words = page.words("algorithms")
    assert words.index("kind erase, top 0") < words.index("settings in common")
    assert "network.kind" not in words
    assert "network.kind" in pages["methods"].words("settings")
    assert "3,000 (2 diverged and left out)" in words
    assert "0.41 [0.40, 0.42]" in words
    assert "— [0.40, 0.42]" in words  # a score that is not a number
    assert "0.80 mean cosine similarity" in words
    assert "plain: score 0.43 after 3,000 models; the fitted curve gives" in words
    effects = page.words("effects")
    assert "+57.0 [55.0, 59.0]" in effects
    assert "+0.5 [−1.5, 2.5]" in effects
    assert "own class" in effects
    assert effects.index("checker class 8 +57.0") < effects.index("dim own class +1.0")
    assert "< 0.001" in effects
    drawn = pages["transformations"].words("effects")
    assert drawn.index("checker → class 8 distinguishing") < drawn.index("dim → own class undecided")
    assert "modeldiff compare study=study.json" in page.words("methods"), "a name would leave overrides out"
    methods = pages["methods"].words()
    assert "modeldiff compare study=digits_watermark" not in methods
    assert "subset of 50 % of the 120 training images" in methods
    assert '"fraction": 0.5' in methods


def test_a_tile_repeats_each_pixel_of_a_small_image():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    expected = np.kron(image[:, :, 0], np.ones((14, 14), dtype=np.uint8))
    np.testing.assert_array_equal(np.asarray(tile(image)), expected)


def test_an_end_holds_only_its_own_sign_furthest_first():
    values = np.array([0.3, -0.1, 0.0, 0.7, -0.5, 0.2])
    positive, negative = ends(values, 3)
    assert positive.index.tolist() == [3, 0, 5]
    assert negative.index.tolist() == [4, 1]
    np.testing.assert_array_equal(negative.values, [-0.5, -0.1])
    examples = Examples(np.zeros((6, 2, 2, 1), dtype=np.uint8), np.array([0, 1, 2, 3, 4, 4]))
    assert class_counts(positive, examples, tuple("abcde"), most=2) == "a (1 of 3), d (1 of 3), 1 other class"
    assert class_counts(ends(values, 0)[0], examples, tuple("abcde")) == "no example"


def test_scales_hold_what_they_show(facts):
    assert noise_floor(facts) == pytest.approx(0.0019)  # |uniform on ±0.002| has its 95 % quantile at 0.0019
    low, high = probability_limits(facts.effects)
    assert low < -2
    assert 59 < high < 65
    low, high = probability_limits(facts.effects[:1])
    assert high - low >= 10  # chance is not blown up to the height of a figure
    low, high = margin_limits(facts.effects)
    assert low < 0
    assert 5.72 < high < 6.2


def test_words_for_numbers_and_settings():
    assert number(-0.0001, signed=True) == "0.00"
    assert number(-1.5, 1) == "−1.5"
    assert number(float("inf")) == "—"
    assert probability(0.0004) == "< 0.001"
    assert flat({"a": {"b": (1, 2)}, "c": None, "d": True}) == {"a.b": "1, 2", "c": "none", "d": "yes"}


def test_plain_differences_stand_before_the_directions(pages):
    index = pages["index"]
    words = index.words("plain")
    assert "A is right on 97.0 % [93.0, 99.0] and B on 95.0 % [93.0, 97.0] of the images." in words
    assert "They differ beyond chance in: accuracy, accuracy on class 8." in words
    assert "one of each for 90.0 %: the algorithms disagree more than seeds explain (p = 0.001)" in words
    assert "1 more groups stand in the files." in words
    assert index.words().index("Plain differences") < index.words().index("Variance of the directions")


def test_a_page_says_who_carries_a_direction_and_an_effect(pages):
    page = pages["direction-a-b-1"].words()
    assert "It is carried by one test image and about 52 training images" in page
    assert "2 of the 12 furthest training examples are copies of test images." in page
    effects = pages["transformations"].words()
    assert "About 31 models of each and 640 images would decide." in effects
    assert "The effect on B sits in one image, so its interval may be too narrow." in effects
    assert "a kind of image that makes up to 3.3 % of all may not be among them" in effects
    assert "undecided" in pages["index"].words("effects")


def test_differences_in_spread_are_said_and_shown(facts, pages):
    words = pages["index"].words("spread")
    assert "make one algorithm less stable than the other, by squared residuals of the datamodels" in words
    assert "About 41 training examples carry it, and it shows on about 13 of the 40 test examples" in words
    assert "Left in, they make A less stable than B" in words
    assert "Left in, they make B less stable than A" in words
    assert facts.spread is not None
    calm = replace(facts, spread=replace(facts.spread, significant=False, p=0.4, kind="spread"))
    told = Page(render(calm)["index.html"]).words("spread")
    assert "beyond chance, by how far models of one subset lie apart (p = 0.400)" in told
    assert "Left in" not in told
