"""Overlays, turns and shifts with the parameters that were planted, among images that differ by class too."""

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.data.cues import Cue, Shift, Turn, Wave
from modeldiff_core.transformations import TransformationTest, build
from modeldiff_core.transformations.ends import End, OrderedExamples, ends
from modeldiff_core.transformations.proposals import propose


def along(cue: Cue, seed: int, channels: int = 1, side: int = 12) -> OrderedExamples:
    """A bright block at a place and size of its own for each of three classes; half of class 2 carry the cue."""
    rng = np.random.default_rng(seed)
    labels, images = np.arange(240) % 3, rng.integers(60, 100, (240, side, side, channels), dtype=np.uint8)
    for label in range(3):
        images[labels == label, 2 : 5 + label, 3 : 8 - label] += 80
    carries = (labels == 2) & (rng.random(240) < 0.5)
    images[carries] = cue.stamp(images[carries])
    return OrderedExamples(Examples(images, labels), 2.0 * carries - 0.5 + rng.normal(0, 0.1, 240))


def positive(targets: OrderedExamples, train: OrderedExamples) -> End:
    """The end of those that carry the cue."""
    found = next(end for end in ends(targets, train, 0.12) if end.sign == "positive")
    assert found.target_class == 2
    return found


def candidate(cue: Cue, kind: str, channels: int = 1) -> TransformationTest:
    """The one of that kind that follows the class."""
    parts = along(cue, 0, channels), along(cue, 1, channels)
    return next(
        t for t in propose(*parts, 0.12, 60) if t.kind == kind and t.target_class == 2 and "(positive" in t.name
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_the_wave_that_was_planted(channels: int) -> None:
    wave = Wave(0.5, 0.0, 50.0)
    plain = np.full((1, 12, 12, channels), 100, np.uint8)
    planted = wave.stamp(plain).astype(float) - plain
    overlay = build(candidate(wave, "overlay", channels), (12, 12, channels))
    found = overlay(plain, 1.0).astype(float) - plain
    assert np.corrcoef(found.ravel(), planted.ravel())[0, 1] > 0.95
    assert 0.7 < found.std() / planted.std() < 1.1


def test_an_overlay_of_large_images_has_cells() -> None:
    parts = (along(Wave(0.0125, 0.0, 50.0), seed, side=80) for seed in (0, 1))
    tests = propose(*parts, 0.12, 60)
    once, twice = (
        np.array(t.parameters["cells"]) for t in tests if t.kind == "overlay" and t.name.endswith("(positive end)")
    )
    assert once.shape == (32, 32)
    assert once[0].min() > 30
    assert once[16].max() < -30, "half a period further down"
    assert np.abs(twice - 2 * once).max() <= 1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turn_is_the_one_that_was_planted(quarters: int) -> None:
    cue = Turn(quarters)  # type: ignore[arg-type]
    one = candidate(cue, "rotate")
    assert one.parameters == {"degrees": 90.0 * quarters}
    images = along(cue, 3).examples.images
    np.testing.assert_array_equal(build(one, (12, 12, 1))(images, 1.0), cue.stamp(images))


@pytest.mark.parametrize(("cue", "shift"), [(Shift(right=3), (0, 3)), (Shift(down=-2), (-2, 0))])
def test_a_shift_is_as_far_as_was_planted(cue: Shift, shift: tuple[int, int]) -> None:
    parameters = candidate(cue, "translate").parameters
    found = np.array([parameters["rows"], parameters["columns"]])
    assert np.abs(found - shift).max() <= 1
    assert (np.sign(found) == np.sign(shift)).all()


def test_what_classes_have_in_common_is_no_difference() -> None:
    """Members of one class, all of which carry the cue: nobody is left to differ from."""
    part = along(Turn(1), 0)
    member = OrderedExamples(part.examples, np.where(part.examples.labels == 2, 1.0, -1.0))
    (end,) = (e for e in ends(member, member, 1 / 3) if e.sign == "positive")
    assert end.difference(lambda images: images) is None
    assert len(end.others()) == 0


def test_the_difference_is_between_members_and_others_of_their_class() -> None:
    parts = along(Wave(0.5, 0.0, 50.0), 0), along(Wave(0.5, 0.0, 50.0), 1)
    end = positive(*parts)
    found = end.difference(lambda images: images.std((1, 2, 3)))
    assert found is not None
    sums = []
    for part in parts:
        spread, of_class = part.examples.images.std((1, 2, 3)), part.examples.labels == 2
        carries = part.values > 0.5
        assert carries.sum() >= 0.12 * 240, "all members carry it"
        top = np.zeros(240, bool)
        top[np.argsort(-part.values)[: round(0.12 * 240)]] = True
        sums.append(spread[top].mean() - spread[of_class & ~top].mean())
    assert abs(float(found)) > 1
    assert float(found) == pytest.approx(np.mean(sums))
