"""What the three methods of benchmarks/agreement.py name, on values made for it, and verdicts of features.py."""

import numpy as np
import pytest

from benchmarks.agreement import _largest, _sureness, explained, images_of
from benchmarks.agreement_kinds import CLASSES, KINDS, PLANTED, TRAIN
from benchmarks.features import REPRODUCED, Claim

RNG = np.random.default_rng(0)


def test_projections_that_follow_a_cue_are_explained_by_the_cue() -> None:
    labels = np.arange(200) % 2
    cue, image = RNG.random(200) < 0.5, RNG.standard_normal((200, 6, 6))
    projections = labels * 3.0 + (labels == 1) * cue + 0.1 * RNG.standard_normal(200)
    projections = projections[:, None]
    assert explained(cue, projections, labels) > 0.8
    assert explained(image, projections, labels) < 0.1
    of_image = (labels * 3.0 + image[:, 0].mean(1))[:, None]
    assert explained(image, of_image, labels) > 0.1 > explained(cue, of_image, labels)


def test_a_cue_in_two_places_is_told_by_a_combination_of_two_directions() -> None:
    labels, cue, below = np.repeat([0, 1], 100), RNG.random(200) < 0.6, RNG.random(200) < 0.5
    over, under = (cue & ~below).astype(float), (cue & below).astype(float)
    turn = np.array([[0.8, 0.6], [0.6, -0.8]])
    projections = np.stack([over, under], 1) @ turn + 0.05 * RNG.standard_normal((200, 2))
    alone = {name: explained(value, projections[:, 1:], labels) for name, value in (("cue", cue), ("below", below))}
    both = {name: explained(value, projections, labels) for name, value in (("cue", cue), ("below", below))}
    assert alone["below"] > alone["cue"]  # one direction is told by the place
    assert both["cue"] > 0.9 > both["below"] + 0.1


def test_of_one_direction_it_is_the_share_of_variance_that_is_told() -> None:
    labels, cue = np.repeat([0, 1], 150), RNG.random(300) < 0.5
    found = explained(cue, (cue + labels + RNG.standard_normal(300) / 2)[:, None], labels)
    assert found == pytest.approx(0.5, abs=0.1)  # variance of the cue and of the noise is 1/4 each; labels are cleared


def test_sureness_is_the_mean_of_log_odds() -> None:
    logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]], np.float32))
    np.testing.assert_allclose(_sureness(logits, np.array([0, 1])), [(0 + np.log(4)) / 2], rtol=1e-6)


def test_the_largest_difference_is_named_if_it_is_one() -> None:
    b = RNG.normal(0.2, 0.01, (2, 12))
    named = _largest(["image", "cue"], b + np.array([[0.0], [0.1]]), b)
    assert named.name == "cue"
    assert named.values["cue"] == pytest.approx(0.1)
    assert _largest(["image", "cue"], b[:, ::-1], b).name == ""
    noisy = RNG.normal(0.2, 0.5, (2, 12))
    assert _largest(["image", "cue"], noisy + 0.02, noisy[:, ::-1]).name == ""


@pytest.mark.parametrize(
    "name",
    [
        "watermark beside a strong bar",
        "dominoes, attacked",
        "blocks",
        "blocks of clothes, attacked",
        "nothing: other seeds",
    ],
)
def test_the_data_hold_what_is_said_of_them(name: str) -> None:
    made = KINDS[name](0)
    assert (made.planted in made.train.values) == (name in PLANTED)
    shown = images_of(made.train)
    assert len(shown) == TRAIN
    assert sorted(set(made.train.labels.tolist())) == list(range(CLASSES))
    if "cue" in made.train.values:
        carries = made.train.values["cue"]
        assert set(made.train.labels[carries].tolist()) == {CLASSES - 1}
        other = images_of(made.train.randomized(["cue"], np.roll(np.arange(TRAIN), 1)))
        assert (other.images != shown.images).any()


def test_a_wide_interval_decides_nothing() -> None:
    claim = Claim("", lambda summary: summary, 0.5, 0.5, 0.02)
    assert claim.verdict({"mean": 0.51, "low": 0.48, "high": 0.54}) == REPRODUCED
    assert claim.verdict({"mean": 0.58, "low": 0.56, "high": 0.60}) == "NOT reproduced"
    assert claim.verdict({"mean": 0.6, "low": 0.48, "high": 0.72}).startswith("UNDECIDED")
