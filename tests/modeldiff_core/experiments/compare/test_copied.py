"""Findings name training examples that are mislabeled copies of test images."""

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.experiments.compare.copied import FURTHEST, copied, copied_sentences
from modeldiff_core.experiments.compare.findings import Findings
from modeldiff_core.store import TensorObject

TRAIN, TARGETS, COPIES = 200, 60, 20


def planted() -> tuple[Examples, Examples, np.ndarray]:
    """Training and test examples, of which COPIES are test images under another label, and a direction of theirs."""
    rng = np.random.default_rng(0)
    train, targets = (rng.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8) for count in (TRAIN, TARGETS))
    of_train, of_targets = (rng.integers(0, 3, count) for count in (TRAIN, TARGETS))
    train[:COPIES], of_train[:COPIES] = targets[:COPIES], (of_targets[:COPIES] + 1) % 3
    weights = 0.01 * rng.standard_normal(TRAIN)
    weights[:COPIES] += rng.choice([-1.0, 1.0], COPIES)
    return Examples(train, of_train, {}), Examples(targets, of_targets, {}), weights.astype(np.float32)


def test_mislabeled_copies_at_the_top_of_a_direction_are_named_as_copies() -> None:
    train, targets, weights = planted()
    assert copied(train, targets, weights) == (
        f"20 of the {FURTHEST} furthest training examples are copies of test images, pixel for pixel, 20 of them under "
        "another label.",
    )
    assert copied(train, targets, np.roll(weights, 100)) == ()


def test_the_findings_say_so_of_the_difference_that_rests_on_them() -> None:
    train, targets, weights = planted()
    arrays = {"a-b.directions": np.stack([weights, np.roll(weights, 100)])}
    findings = Findings(TensorObject(arrays, {}, {}), np.empty(0), ({}, {}))
    first, second = ({"side": "a-b", "directions": [at]} for at in (0, 1))
    (said,) = copied_sentences({"differences": [first]}, findings, train, targets)
    assert said.startswith("Of this difference: 20 of the 24 furthest training examples are copies of test images")
    (said,) = copied_sentences({"differences": [second, first]}, findings, train, targets)
    assert said.startswith("Of difference 2: ")
    assert copied_sentences({"differences": [second]}, findings, train, targets) == []
