"""What pairs show together: Holm over all of them, and verdicts that hold for all at once."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core.experiments.league.overview import answer, least_draws, matrix, overview
from modeldiff_core.experiments.league.page import league_page
from modeldiff_core.experiments.league.sentences import sentences

NAMES = {"a": "as is", "b": "erased", "c": "shifted"}


def summary(p: float, total: float = 0.1, similarity: float = 0.5, half: float = 0.02) -> dict[str, Any]:
    """What a comparison's summary.json says of two algorithms."""
    direction = {"p_adjusted": p, "significant": p <= 0.05}
    return {
        "similarity": similarity,
        "total": {"value": total, "low": total - half, "high": total + half},
        "directions": [direction, {"p_adjusted": 1.0, "significant": False}],
        "verdict": {"answer": "different" if p <= 0.05 else "undecided"},
        "transformations": [{"name": "blur", "distinguishing": p < 0.01, "difference": 0.1}],
        "found": [{"name": "patch", "distinguishing": p < 0.01, "difference": -0.4}],
    }


def three(*p: float) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        ("a", "b"): summary(p[0], 0.2, 0.4),
        ("a", "c"): summary(p[1], 0.3, 0.3),
        ("b", "c"): summary(p[2], 0.01, 0.9),
    }


def test_p_are_adjusted_over_pairs_and_a_pair_that_counts_alone_need_not_count_among_all() -> None:
    entries = overview(three(0.005, 0.03, 0.9), 0.05)
    found = {(entry["a"], entry["b"]): entry for entry in entries}
    assert found["a", "b"]["p_adjusted"] == pytest.approx(0.015)
    assert found["a", "c"]["p_adjusted"] == pytest.approx(0.06)
    assert found["b", "c"]["p_adjusted"] == pytest.approx(0.9)
    assert [found[pair]["answer"] for pair in (("a", "b"), ("a", "c"), ("b", "c"))] == ["different", *["undecided"] * 2]
    assert [found[pair]["alone"] for pair in (("a", "b"), ("a", "c"))] == ["different", "different"]
    assert found["a", "b"]["confirmed"] == ["patch", "blur"], "the largest difference first"
    assert [(entry["a"], entry["b"]) for entry in entries] == [("a", "c"), ("a", "b"), ("b", "c")], "by what differs"


def test_the_chance_of_any_alarm_is_held_over_pairs_that_depend_on_each_other() -> None:
    rng, alarms, alone = np.random.default_rng(0), 0, 0
    for _ in range(2000):
        z = np.sqrt(0.5) * rng.normal() + np.sqrt(0.5) * rng.normal(size=6)
        ranks = np.argsort(np.argsort(z)) / 6  # dependent, and each about uniform
        p = np.clip((ranks + rng.random(6)) / 1.0 % 1.0, 1e-6, 1)
        pairs = {(str(i), "x"): summary(float(one)) for i, one in enumerate(p)}
        entries = overview(pairs, 0.05)
        alarms += any(entry["answer"] == "different" for entry in entries)
        alone += any(entry["alone"] == "different" for entry in entries)
    assert alarms <= 0.05 * 2000 + 3 * np.sqrt(2000 * 0.05 * 0.95)
    assert alone > 2 * alarms, "without the adjustment there would be many more"


@pytest.mark.parametrize(("pairs", "level", "least"), [(6, 0.05, 119), (1, 0.05, 19), (10, 0.05, 199), (3, 0.01, 299)])
def test_draws_that_can_reach_the_level(pairs: int, level: float, least: int) -> None:
    assert least_draws(pairs, level) == least
    assert pairs / (least + 1) <= level < pairs / least


def test_a_margin_is_held_over_all_pairs() -> None:
    total = {"value": 0.1, "low": 0.06, "high": 0.14}  # sigma 0.0204
    assert answer(total, 0.01, 1, 0.05, 0.05) == "different"
    assert answer(total, 0.01, 6, 0.05, 0.05) == "undecided", "the interval is widened for six"
    assert answer(total, 0.2, 1, 0.05, 0.05) == "undecided", "no direction beyond chance"
    assert answer(total, 1.0, 1, 0.05, 0.14) == "equivalent"
    assert answer(total, 1.0, 6, 0.05, 0.14) == "undecided"
    assert answer(total, 1.0, 6, 0.05, 0.16) == "equivalent"
    assert answer({"value": 0.1, "low": None, "high": None}, 0.01, 1, 0.05, 0.05) == "undecided"


def test_sentences_name_the_pairs_and_what_is_only_so_alone() -> None:
    said = sentences(overview(three(0.005, 0.03, 0.9), 0.05), NAMES, 0.05, 2000)
    assert said[0].startswith(
        "Of 3 pairs 1 differs beyond chance in what they rely on (Holm over 3 pairs, level 0.05): "
    )
    assert "as is and erased (all that differs 20 % [18, 22] of a datamodel, p = 0.015)" in said[0]
    assert said[1].startswith("Seen alone, as is and shifted would count as different, too")
    assert said[2].startswith("Least differs between erased and shifted: 1 % [-1, 3] of a datamodel")
    assert "3 × 2,000 subset models: none was trained twice" in said[3]
    nothing = sentences(overview(three(0.5, 0.6, 0.9), 0.05), NAMES, 0.05, 2000)
    assert nothing[0].startswith("No pair of the 3 algorithms differs beyond chance")


def test_the_matrix_is_the_same_either_way() -> None:
    found = matrix(list(NAMES), overview(three(0.1, 0.2, 0.3), 0.05))
    assert [[cell is None for cell in row] for row in found] == np.eye(3, dtype=bool).tolist()
    assert all(found[i][j] is found[j][i] for i in range(3) for j in range(3))


@pytest.mark.parametrize("accuracy", [0.75, None])
def test_a_league_of_numbers_has_a_page_without_accuracy(accuracy: float | None) -> None:
    entries = [{**entry, "report": "comparisons/x/report/index.html"} for entry in overview(three(0.5, 0.5, 0.5), 0.05)]
    algorithms = [{"short": short, "models": 100, "subset_accuracy": accuracy, "lds": {"mean": 0.5}} for short in NAMES]
    told = {"study": "x", "findings": [], "algorithms": algorithms, "level": 0.05, "margin": 0.0, "pairs": entries}
    page = league_page(told, NAMES, "leagues/x", {"name": "x"}, [])["index.html"].decode()
    assert ("accuracy" in page) == (accuracy is not None)
    assert page.count("0.500</td>") >= 3
