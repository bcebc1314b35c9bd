"""The verdict in two units, and how they go together."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core.comparison.effect_sizes import Estimate
from modeldiff_core.comparison.verdict import Verdict
from modeldiff_core.experiments.compare import Compare
from modeldiff_core.experiments.compare.verdicts import of_probabilities, together, verdict_entry, verdict_sentences
from modeldiff_core.statistics import Parts
from modeldiff_core.study.config import VerdictConfig
from modeldiff_core.transformations import Judged, Measured, TransformationTest
from modeldiff_core.transformations.equivalence import Reaction
from modeldiff_core.transformations.equivalence import Verdict as Decided
from modeldiff_core.transformations.judgment import Reactions, Reading
from tests.modeldiff_core.stages.studies import tiny

SETTINGS = {"method": "contrast", "components": 3, "draws": 19, "top": 5}


def judged(*ends: tuple[float, float, float]) -> list[Judged]:
    """Transformations with these differences of effects (value, low, high), of which nothing else is asked."""
    parts, nothing = Parts.of(np.zeros((2, 2))), Reading((), (), ())
    found = []
    for at, (effect, low, high) in enumerate(ends):
        one = Reaction(effect, low, high, 0.0, 0.0, 0.0, 1.0, parts, 2, 2)
        measured = Measured(TransformationTest(f"change {at}", "blur"), 2, nothing, nothing, Reactions(one, one, one))
        found.append(Judged(measured, 1.0, 1.0, Decided("undecided", "")))
    return found


def of_datamodels(answer: Any, margin: float = 0.05) -> Verdict:
    return Verdict(answer, margin, Estimate(0.02, 0.01, 0.03), 1200 if answer == "undecided" else None)


def test_effects_that_are_all_small_are_equivalent_and_one_large_one_is_different() -> None:
    small, large, wide = (0.01, -0.02, 0.04), (0.4, 0.3, 0.5), (0.05, -0.2, 0.3)
    assert of_probabilities(judged(small, small), 0.1, 0.05)["answer"] == "equivalent"
    found = of_probabilities(judged(small, large), 0.1, 0.05)
    assert found["answer"] == "different"
    assert found["largest"] == {"name": "change 1", "difference": {"value": 0.4, "low": 0.3, "high": 0.5}}
    assert of_probabilities(judged(small, wide), 0.1, 0.05)["answer"] == "undecided"
    assert of_probabilities(judged((-0.4, -0.5, -0.3)), 0.1, 0.05)["answer"] == "different"
    assert of_probabilities([], 0.1, 0.05) == {"answer": "undecided", "margin": 0.1, "tested": 0, "largest": None}


def test_many_transformations_ask_for_a_clearer_difference() -> None:
    nearly = (0.2, 0.11, 0.29)
    assert of_probabilities(judged(nearly), 0.1, 0.05)["answer"] == "different"
    others = [(0.0, -0.2, 0.2)] * 19
    assert of_probabilities(judged(nearly, *others), 0.1, 0.05)["answer"] == "undecided"


def test_one_unit_that_is_different_makes_the_whole_different() -> None:
    assert together(["equivalent", "different"]) == "different"
    assert together(["equivalent", "undecided"]) == "undecided"
    assert together(["equivalent", "equivalent"]) == "equivalent"
    large, both = judged((0.4, 0.3, 0.5)), VerdictConfig(margin=0.05, probability=0.1)
    entry = verdict_entry(of_datamodels("equivalent"), large, both, 0.05)
    assert (entry["answer"], entry["of_datamodels"], entry["probability"]["answer"]) == (
        "different", "equivalent", "different",
    )  # fmt: skip
    only = verdict_entry(
        of_datamodels("different", 0.0), judged((0.0, -0.01, 0.01)), VerdictConfig(probability=0.1), 0.05
    )
    assert only["answer"] == "equivalent", "only the unit whose margin is set counts"
    assert "probability" not in verdict_entry(of_datamodels("undecided"), large, VerdictConfig(margin=0.05), 0.05)


def test_each_unit_has_its_sentence() -> None:
    both = VerdictConfig(margin=0.05, probability=0.1)
    said = verdict_sentences(verdict_entry(of_datamodels("undecided"), judged((0.4, 0.3, 0.5)), both, 0.05))
    assert said == [
        "Undecided within 5 % of the squared length of a datamodel: about 1,200 models of each would decide.",
        "Different: A and B were shown to react differently by more than 10 points of a probability; the largest "
        "difference of effects, of “change 0”, is +40.0 [+30.0, +50.0] points.",
        "Both together: different.",
    ]
    alike = verdict_entry(of_datamodels("equivalent"), judged((0.0, -0.01, 0.01)), both, 0.05)
    assert verdict_sentences(alike)[0].startswith("Equivalent: all that A and B rely on differently")
    assert "under each of the 1 transformation put to the test" in verdict_sentences(alike)[1]
    nothing = verdict_entry(of_datamodels("undecided", 0.0), [], VerdictConfig(probability=0.1), 0.05)
    assert verdict_sentences(nothing) == [
        "Undecided within 10 points of a probability: no transformation was put to the test."
    ]
    assert verdict_sentences(verdict_entry(of_datamodels("different", 0.0), [], VerdictConfig(), 0.05)) == []


@pytest.mark.parametrize(("asked", "same"), [({"probability": 0.0}, True), ({"probability": 0.1}, False)])
def test_a_margin_that_is_not_set_leaves_keys_as_they_were(asked: dict[str, Any], same: bool) -> None:
    plain, other = tiny(comparison=SETTINGS), tiny(comparison=SETTINGS, verdict=asked)
    assert (plain.digest == other.digest) is same
    assert ("probability" in other.study.model_dump(mode="json")["verdict"]) is not same
    assert Compare(other).comparison.study.verdict.probability == asked["probability"]
