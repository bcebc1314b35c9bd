"""A slice of benchmarks/spread.py: labels are drawn by model, A is untouched, and what it counts as found."""

import json
from pathlib import Path

import numpy as np

from benchmarks.planted_kinds import sample
from benchmarks.spread import _masks, chosen, compared, drawn_labels, margins, recipe, table, unfolded

DATA = 3


def test_labels_are_drawn_by_model_and_rates_are_nested() -> None:
    own = np.array([4, 4, 4])
    low, high = (drawn_labels(own, rate, 1, range(400)) for rate in (0.1, 0.5))
    assert abs((low != 4).mean() - 0.1) < 0.03
    assert abs((high != 4).mean() - 0.5) < 0.05
    changed = low != 4
    np.testing.assert_array_equal(low[changed], high[changed])
    np.testing.assert_array_equal(drawn_labels(own, 0.5, 1, range(7, 9)), high[7:9])


def test_a_model_differs_only_if_one_of_its_labels_does() -> None:
    made = sample("digits", None, DATA)
    group = chosen(made, DATA)
    assert len(group) == 5
    assert len(set(made.train_a.labels[group])) == 1
    examples, first = unfolded(made.train_a, group)
    np.testing.assert_array_equal(examples.images[first], made.train_a.images)
    np.testing.assert_array_equal(examples.labels[first[group[0]] : first[group[0]] + 10], np.arange(10))
    masks, own = _masks(made, 8, 2, DATA), made.train_a.labels[group]
    plain, drawn = np.tile(own, (16, 1)), drawn_labels(own, 0.3, DATA, range(16))
    a, b = (margins(recipe("head"), made, group, masks, labels, 1) for labels in (plain, drawn))
    noisy = ((drawn != plain) & masks[:, group]).any(1)
    assert 0 < noisy.sum() < 16
    assert (a[~noisy] == b[~noisy]).all()
    assert (a[noisy] != b[noisy]).any(1).all()


def test_what_is_found_lies_on_the_side_of_b(tmp_path: Path) -> None:
    rng, group = np.random.default_rng(0), np.arange(4)
    masks = np.repeat(np.argsort(rng.random((200, 40)), 1) < 20, 2, axis=0)
    quiet = rng.normal(size=(400, 150))
    loud = quiet * np.exp(0.8 * masks[:, :1] + 0.8 * masks[:, 1:2] + 0.8 * masks[:, 2:3] + 0.8 * masks[:, 3:4])
    planted, mirrored, same = (compared(masks, a, b, group) for a, b in ((quiet, loud), (loud, quiet), (quiet, quiet)))
    assert planted["found"]
    assert planted["auc"] > 0.95
    assert mirrored["p"] == planted["p"]
    assert not mirrored["found"]
    assert not same["found"]
    sizes = {"means": 0.0, "within": 0.5, "raised": 1.1, "raised_others": 1.0}
    cell = {"rate": 0.1, "models": 500, "seeds": 2, **planted}
    records = [
        {"row": "mlp", "study": 0, **sizes, "planted": planted, "fixed": same, "none": same},
        {"row": "curve mlp", "study": 0, "cells": [cell]},
    ]
    out = tmp_path / "spread.jsonl"
    out.write_text("".join(json.dumps(one) + "\n" for one in records))
    text = table(out)
    assert "| mlp, 2000 models | 1 | 1 | 1 | 1.00 |" in text
    assert "| none | mlp | 1 | 0 | 1.00 | 0 |" in text
