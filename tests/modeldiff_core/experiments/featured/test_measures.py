"""What the experiments on known features measure, against definitions: curves, intervals, reliance, held features."""

import numpy as np
import pytest
import torch
from scipy.stats import t

from modeldiff_core.data.block_images import BlockImages
from modeldiff_core.data.dominoes import Dominoes
from modeldiff_core.data.slabs import Coordinates, Slabs
from modeldiff_core.experiments.featured.groups import feature_sets, holding, rest_of, share_of
from modeldiff_core.experiments.featured.intervals import interval_of, words
from modeldiff_core.experiments.simplicity.measures import metrics
from modeldiff_core.experiments.simplicity.present import findings
from modeldiff_core.experiments.simplicity.summarize import cell_of

RNG = np.random.default_rng(0)
SLABS = Slabs((Coordinates("7-slab", 3), Coordinates("normal", 2), Coordinates("linear")), 40, 30).featured()
DOMINOES = Dominoes(n_train=20, n_test=20).featured()


def test_an_interval_is_students() -> None:
    values = RNG.random(5)
    low, high = t.interval(0.95, 4, values.mean(), values.std(ddof=1) / np.sqrt(5))
    found = interval_of(values.tolist())
    assert found["low"] == pytest.approx(low)
    assert found["high"] == pytest.approx(high)
    assert words(interval_of([0.5])) == "0.500"


def test_areas_are_the_share_of_pairs_in_order_and_the_mean_precision() -> None:
    logits, labels = RNG.standard_normal((60, 2)), RNG.integers(0, 2, 60)
    found, score = metrics(logits, labels), logits[:, 1] - logits[:, 0]
    pairs = (score[labels == 1][:, None] > score[labels == 0][None]).mean()
    assert 0.2 < pairs < 0.8
    assert found["roc_auc"] == pytest.approx(pairs)
    right = labels[np.argsort(-score)] == 1
    precision = np.cumsum(right) / np.arange(1, 61)
    assert found["pr_auc"] == pytest.approx(precision[right].mean())
    assert found["accuracy"] == pytest.approx(((score > 0) == labels).mean())
    assert metrics(np.eye(3)[[0, 1, 2]], np.arange(3))["roc_auc"] == 1.0


def test_sets_come_the_simplest_first_and_those_that_say_nothing_last() -> None:
    found = feature_sets(SLABS, {})
    assert [(one.name, one.complexity) for one in found] == [("linear", 1), ("7-slab", 7), ("normal", 0)]
    joined = feature_sets(SLABS, {"both": ("7-slab", "linear")})
    assert [(one.name, one.complexity) for one in joined] == [("both", 1)]
    assert rest_of(SLABS, joined[0].features) == ("normal",)


def test_what_is_held_of_a_rotated_feature_is_its_coordinates() -> None:
    part, moved = SLABS.test, RNG.standard_normal((1, 30, 1, 6, 1)).astype(np.float32)
    left = holding(part, ("7-slab",), slice(0, 30))(torch.from_numpy(moved)).numpy().reshape(30, 6)
    assert part.rotation is not None
    before, after = (values.reshape(30, 6) @ part.rotation.T for values in (moved, left))
    np.testing.assert_allclose(after[:, :3], 0, atol=1e-5)
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-5)
    along = (np.eye(6)[5] @ part.rotation).reshape(1, 6, 1).astype(np.float32)
    assert share_of(part, ("linear",), along) == pytest.approx(1, abs=1e-5)
    assert share_of(part, ("7-slab",), along) == pytest.approx(0, abs=1e-5)


def test_what_is_held_of_an_image_is_its_pixels() -> None:
    part, moved = DOMINOES.test, torch.ones(1, 20, 16, 8, 1)
    left = holding(part, ("first",), slice(0, 20))(moved)
    assert not left[:, :, :8].any()
    assert bool((left[:, :, 8:] == 1).all())
    half = np.ones((16, 8, 1), np.float32)
    assert share_of(part, ("first",), half) == pytest.approx(0.5)
    blocks = BlockImages(n_train=10, n_test=10).featured().test
    assert share_of(blocks, ("signal",), half) is None  # it has another place in each example
    common = holding(blocks, ("signal",), slice(0, 10))(torch.ones(1, 1, 16, 8, 1))
    assert not common.any()


def test_reliance_is_the_drop_over_the_drop_with_everything_randomized() -> None:
    sets = feature_sets(SLABS, {})

    def measured(standard: float, linear: float, everything: float) -> dict[str, object]:
        def of(accuracy: float) -> dict[str, float]:
            return {"accuracy": accuracy, "roc_auc": 1.0, "pr_auc": 1.0, "loss": 0.0}

        same = {one.name: of(linear if one.name == "linear" else standard) for one in sets}
        randomized = {"standard": of(standard), "all": of(everything), "randomised": same, "rest": same}
        return {"train_accuracy": 1.0, **randomized, "attacked": {}}

    found = cell_of([measured(1.0, 0.6, 0.5), measured(0.9, 0.7, 0.5)], sets, [])["reliance"]
    assert found["linear"]["mean"] == pytest.approx((0.8 + 0.5) / 2)
    assert found["7-slab"]["mean"] == 0
    assert cell_of([measured(0.51, 0.5, 0.5)], sets, [])["reliance"]["linear"] is None


@pytest.mark.parametrize(
    ("without", "rest", "alone"),
    [((0.48, 0.51), 0.999, True), ((0.2, 0.8), 0.999, False), ((0.48, 0.51), 0.9, False), ((0.58, 0.6), 0.999, False)],
)
def test_networks_rely_on_a_feature_alone_if_they_are_at_chance_without_it_and_as_good_with_no_other(
    without: tuple[float, float], rest: float, alone: bool
) -> None:
    low, high = without
    accuracy = {"standard": 1.0, "randomised": (low + high) / 2, "rest": rest}
    found = {way: {"accuracy": {"mean": mean, "low": mean, "high": mean, "n": 5}} for way, mean in accuracy.items()}
    found["randomised"]["accuracy"] |= {"low": low, "high": high}
    cell = {
        "name": "the networks",
        "failure": "",
        "standard": found["standard"],
        "randomised": {"line": found["randomised"], "slabs": found["standard"]},
        "rest": {"line": found["rest"], "slabs": found["randomised"]},
        "reliance": {"line": interval_of([0.9, 1.0]), "slabs": interval_of([0.0, 0.1])},
    }
    sets = [{"name": name, "complexity": level, "bayes": 1.0} for name, level in (("line", 1), ("slabs", 7))]
    (line,) = findings({"sets": sets, "chance": 0.5, "cells": [cell], "controls": []})
    assert ("They rely on line alone, although slabs would do." in line) == alone
    assert ("Reliance: line 0.95" in line) != alone
