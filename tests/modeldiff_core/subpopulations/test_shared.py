"""Contrasts against least squares, statistics against direct sums, and words about a planted difference."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from modeldiff_core.data import Examples
from modeldiff_core.statistics import contrast as contrast_module
from modeldiff_core.statistics import within_classes
from modeldiff_core.subpopulations import BANDS, Shared, SharedFacts, families, image_statistics, in_words, shared

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], 20)


def test_a_contrast_is_least_squares_with_a_constant_for_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrast_module, "FEATURES", 5)
    strength = RNG.normal(size=60)
    values = RNG.normal(size=(60, 3, 4)) + 2 * LABELS[:, None, None]
    values[:, 1, 2] += 0.7 * strength
    found = within_classes(values, strength, LABELS)
    assert found is not None
    assert found.freedom == 56
    design = np.column_stack([strength, *(c == LABELS for c in range(3))]).astype(float)
    inverse = np.linalg.inv(design.T @ design)
    for row, column in np.ndindex(3, 4):
        y = values[:, row, column]
        beta = inverse @ design.T @ y
        error = np.sqrt(((y - design @ beta) ** 2).sum() / 56 * inverse[0, 0])
        assert found.difference[row, column] == pytest.approx(beta[0])
        assert found.error[row, column] == pytest.approx(error)
        assert found.p[row, column] == pytest.approx(2 * stats.t.sf(abs(beta[0] / error), 56))
        assert found.half_width()[row, column] == pytest.approx(stats.t.ppf(0.975, 56) * error)
    assert np.unravel_index(np.abs(found.t).argmax(), (3, 4)) == (1, 2)


def test_what_a_class_has_in_common_is_no_difference_and_whole_classes_cannot_be_compared() -> None:
    images = np.zeros((60, 4, 4, 1), dtype=np.uint8)
    images[LABELS == 2] = 200
    members = np.zeros(60)
    members[40:50] = 1
    found = within_classes(images, members, LABELS)
    assert found is not None
    assert not found.t.any()
    assert within_classes(images, (LABELS == 2).astype(float), LABELS) is None
    whole = shared(Examples(images, LABELS), LABELS == 2, ("a", "b", "c"))
    assert whole is not None
    assert not whole.matched
    assert whole.image is not None
    np.testing.assert_array_equal(whole.image.difference, 200)


def test_bands_hold_the_variance_and_the_centre_moves_with_the_image() -> None:
    images = RNG.integers(0, 256, (5, 12, 9, 3), dtype=np.uint8)
    found = image_statistics(images)
    gray = images @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(found["brightness"], gray.mean((1, 2)), rtol=1e-5)
    total = sum(found[band.name] ** 2 for band in BANDS)
    np.testing.assert_allclose(total, gray.var((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found["contrast"] ** 2, total, rtol=1e-4)
    np.testing.assert_allclose(found["green"], images[..., 1].mean((1, 2)))
    spread = (images.max(3).astype(float) - images.min(3)).mean((1, 2))
    np.testing.assert_allclose(found["colourfulness"], spread, rtol=1e-5)
    spot = np.zeros((2, 16, 16, 1), dtype=np.uint8)
    spot[0, 4:7, 5:8] = 250
    spot[1, 9:12, 6:9] = 250
    moved = image_statistics(spot)
    np.testing.assert_allclose(moved["row"], [5, 10])
    np.testing.assert_allclose(moved["column"], [6, 7])
    assert "red" not in moved


def test_a_planted_difference_is_said_and_shown() -> None:
    images = RNG.integers(60, 120, (60, 8, 8, 3), dtype=np.uint8)
    members = np.zeros(60, dtype=bool)
    members[20:32] = True
    images[members, 2, 5] = (255, 0, 0)
    images[members] += np.array([40, 0, 0], dtype=np.uint8) * (images[members] < 200).all(3, keepdims=True)
    found = shared(Examples(images, LABELS, {"marked": members}), members, ("ant", "bee", "cat"))
    assert found is not None
    assert found.matched
    words = in_words(found)
    assert words[0] == "marked: 12 of 12 (20.0 % of all), p < 0.001"
    assert words[1] == "class bee: 12 of 12 (33.3 % of all)", "a class describes and is no finding"
    assert any(line.startswith("redder by 4") for line in words)
    assert words[-1].startswith("the mean image differs most at row 2, column 5: ")
    assert found.image is not None
    assert found.image.difference[2, 5, 0] == pytest.approx(255 - images[32:40, 2, 5, 0].mean())
    np.testing.assert_allclose(found.image.mean, images[members].mean(0))


def test_nothing_shared_is_said_so() -> None:
    images = RNG.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    members = np.zeros(60, dtype=bool)
    members[[1, 2, 21, 22, 41, 42]] = True
    assert in_words(shared(Examples(images, LABELS), members, ("a", "b", "c"))) == [
        "Nothing that was looked at is shared beyond chance."
    ]
    assert shared(Examples(images, LABELS), np.zeros(60, dtype=bool), ("a", "b", "c")) is None
    assert in_words(None) == ["No image lies at this end."]


def test_a_report_corrects_for_all_its_lists() -> None:
    """Of lists with random members, what one alone would name in 5 % is named by a report of many in no more."""
    rng = np.random.default_rng(7)
    flags = {f"flag {n}": rng.random(60) < 0.3 for n in range(4)}
    images = rng.integers(0, 256, (60, 6, 6, 1), dtype=np.uint8)
    examples = Examples(images, LABELS, flags)

    def end() -> Shared:
        members = np.zeros(60, dtype=bool)
        members[rng.permutation(60)[:12]] = True
        found = shared(examples, members, ("a", "b", "c"))
        assert found is not None
        return found

    reports = [[end() for _ in range(8)] for _ in range(20)]
    assert families(reports[0]) == 24

    def says(found: Shared, lists: int) -> bool:
        return any(", p " in line or "the mean image differs" in line for line in in_words(found, lists))

    alone = sum(any(says(found, 1) for found in report) for report in reports)
    together = sum(any(says(found, families(report)) for found in report) for report in reports)
    assert alone >= 8, "what is mended is there"
    assert together <= 4
    assert in_words(reports[0][0], 1) == in_words(reports[0][0])


def test_facts_in_plain_values_say_the_same() -> None:
    images = RNG.integers(60, 120, (60, 8, 8, 1), dtype=np.uint8)
    members = np.zeros(60, dtype=bool)
    members[20:32] = True
    images[members, 2, 5] = 255
    found = shared(Examples(images, LABELS, {"marked": members}), members, ("ant", "bee", "cat"))
    assert found is not None
    assert found.place is not None
    plain = {
        "matched": found.matched,
        "enrichments": [asdict(e) for e in found.enrichments],
        "statistics": [asdict(s) for s in found.statistics],
        "place": asdict(found.place),
    }
    assert in_words(SharedFacts.restored(plain), 10) == in_words(found, 10)
    assert len(in_words(found, 10)) >= 3


def test_a_block_that_all_members_have_and_no_other_image_is_said() -> None:
    images = RNG.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    images[:, 0, :2] = 0
    members = np.zeros(60, dtype=bool)
    members[[1, 2, 21, 22, 41, 42]] = True
    images[members, 0, 1] = 255
    words = in_words(shared(Examples(images, LABELS), members, ("a", "b", "c")))
    assert words[-1] == "the mean image differs most at row 0, column 1: brighter by 255 ± 0 of 255"
