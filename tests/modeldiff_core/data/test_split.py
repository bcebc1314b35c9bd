"""Stratified choice: disjoint, of exact sizes, with the class shares of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.data import Examples
from modeldiff_core.data.split import chosen, stratified
from modeldiff_core.errors import ConfigError


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    shares=st.tuples(st.floats(0.05, 0.5), st.floats(0.05, 0.45)),
    seed=st.integers(0, 1000),
)
def test_parts_are_disjoint_sorted_and_balanced(counts: list[int], shares: tuple[float, float], seed: int) -> None:
    """Up to a threshold each class has given its share within one example; a part lies between two thresholds."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    total = len(labels)
    sizes = tuple(max(1, int(share * total)) for share in shares)
    if sum(sizes) > total:
        sizes = (1,)
    parts = stratified(labels, sizes, seed, tuple(f"k{i}" for i in range(len(sizes))))
    together = np.concatenate(parts)
    assert tuple(len(part) for part in parts) == sizes
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0
    assert together.max() < total
    for part in parts:
        np.testing.assert_array_equal(part, np.sort(part))
        for label, count in enumerate(counts):
            share = count / total
            assert abs((labels[part] == label).sum() - share * len(part)) <= 2 * (1 + share * len(counts))


def test_equal_classes_are_split_evenly() -> None:
    labels = np.arange(1000) % 10
    train, test = stratified(labels, (500, 300), 0, ("train", "test"))
    assert np.abs(np.bincount(labels[train]) - 50).max() <= 2
    assert np.abs(np.bincount(labels[test]) - 30).max() <= 2


def test_the_seed_alone_decides() -> None:
    labels = np.arange(200) % 4
    once = stratified(labels, (80,), 3, ("k",))[0]
    np.testing.assert_array_equal(once, stratified(labels, (80,), 3, ("k",))[0])
    other = stratified(labels, (80,), 4, ("k",))[0]
    assert len(np.intersect1d(once, other)) < 60


def test_every_example_can_be_chosen() -> None:
    labels = np.array([0] * 30 + [1] * 3)
    seen = np.concatenate([stratified(labels, (11,), seed, ("k",))[0] for seed in range(60)])
    assert set(seen) == set(range(33))


@pytest.mark.parametrize(("sizes", "key"), [((11, 1), "a"), ((6, 5), "b"), ((0, 5), "a"), ((5, -1), "b")])
def test_sizes_that_do_not_fit_are_refused_by_key(sizes: tuple[int, int], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stratified(np.zeros(10, np.int64), sizes, 0, ("a", "b"))
    assert caught.value.key == key


def test_all_examples_can_be_asked_for() -> None:
    first, second = stratified(np.arange(10) % 3, (4, 6), 0, ("a", "b"))
    assert sorted([*first, *second]) == list(range(10))


def test_a_choice_of_no_size_is_everything() -> None:
    whole = Examples(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.arange(6) % 2)
    assert chosen(whole, None, 0, "k") is whole
    part = chosen(whole, 4, 0, "k")
    assert part.labels.tolist().count(1) == 2
    assert (part.images.ravel() % 2 == part.labels).all()
