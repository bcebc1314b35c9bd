"""The verdict on a comparison as a whole, in two units: a share of a datamodel's length, and a change of a probability.

The first asks about everything that A and B rely on, in units of datamodels (``comparison.verdict``). The second asks
about predictions: by how much the mean change of a probability under a transformation differs between A and B, over all
transformations that were put to the test, the study's own and those of the search:

- different: for one of them the difference is shown to be above the margin; its one-sided interval is widened for
  their number (Bonferroni, normal quantiles);
- equivalent: for each the difference is shown to be below the margin, each at level α (an intersection of tests);
- undecided otherwise, or where none was put to the test.

A unit counts if its margin is set. With both, one that is different makes the whole different, and both have to be
equivalent for the whole to be.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from scipy.special import ndtri

from modeldiff_core.comparison.verdict import Verdict
from modeldiff_core.experiments.compare.contrasts import estimate
from modeldiff_core.study.config import VerdictConfig
from modeldiff_core.transformations import Judged

Answer = Literal["different", "equivalent", "undecided"]


def verdict_entry(
    of_datamodels: Verdict, judged: Sequence[Judged], asked: VerdictConfig, alpha: float
) -> dict[str, Any]:
    """Return the ``verdict`` of summary.json; it has ``probability`` where that margin is set."""
    entry: dict[str, Any] = {
        "answer": of_datamodels.answer,
        "margin": of_datamodels.margin,
        "total": estimate(of_datamodels.total),
        "models_needed": of_datamodels.models,
    }
    if not asked.probability:
        return entry
    found = of_probabilities(judged, asked.probability, alpha)
    both = [of_datamodels.answer, found["answer"]] if asked.margin else [found["answer"]]
    return {**entry, "answer": together(both), "of_datamodels": of_datamodels.answer, "probability": found}


def of_probabilities(judged: Sequence[Judged], margin: float, alpha: float) -> dict[str, Any]:
    """Return whether effects of transformations differ by more than a change of a probability, and the largest one.

    largest: the transformation whose difference, A minus B, is largest, with the ends from which the answer is taken,
    each wrong with chance alpha.
    """
    if not judged:
        return {"answer": "undecided", "margin": margin, "tested": 0, "largest": None}
    wider = float(ndtri(1 - alpha / len(judged)) / ndtri(1 - alpha))
    differences = [one.measured.reactions.difference for one in judged]
    answer: Answer = "undecided"
    if all(one.largest < margin for one in differences):
        answer = "equivalent"
    for one in differences:
        low, high = (one.effect + wider * (end - one.effect) for end in (one.low, one.high))
        if low > margin or high < -margin:
            answer = "different"
    at = max(range(len(judged)), key=lambda i: abs(differences[i].effect))
    largest = differences[at]
    return {
        "answer": answer,
        "margin": margin,
        "tested": len(judged),
        "largest": {
            "name": judged[at].measured.test.name,
            "difference": {"value": largest.effect, "low": largest.low, "high": largest.high},
        },
    }


def together(answers: Sequence[str]) -> str:
    """Return the verdict of several units."""
    if "different" in answers:
        return "different"
    return "equivalent" if all(answer == "equivalent" for answer in answers) else "undecided"


def verdict_sentences(verdict: Mapping[str, Any]) -> list[str]:
    """Return what is said of each unit whose margin is set."""
    said = []
    if verdict["margin"]:
        answer = verdict.get("of_datamodels", verdict["answer"])
        said.append(_of_datamodels(answer, verdict))
    if "probability" in verdict:
        said.append(_of_probability(verdict["probability"]))
    if len(said) > 1:
        said.append(f"Both together: {verdict['answer']}.")
    return said


def _of_datamodels(answer: str, verdict: Mapping[str, Any]) -> str:
    margin = f"{100 * verdict['margin']:g} % of the squared length of a datamodel"
    if answer == "equivalent":
        return f"Equivalent: all that A and B rely on differently was shown to be below {margin}."
    if answer == "different":
        return f"Different: what A and B rely on differently was shown to be above {margin}."
    more = verdict["models_needed"]
    enough = f"about {more:,} models of each would decide" if more else "no number of models can be told that decides"
    return f"Undecided within {margin}: {enough}."


def _of_probability(found: Mapping[str, Any]) -> str:
    margin = f"{100 * found['margin']:g} points of a probability"
    if found["largest"] is None:
        return f"Undecided within {margin}: no transformation was put to the test."
    one = found["largest"]
    value, low, high = (f"{100 * one['difference'][name]:+.1f}".replace("-", "−") for name in ("value", "low", "high"))
    largest = f"the largest difference of effects, of “{one['name']}”, is {value} [{low}, {high}] points"
    tried = f"{found['tested']} transformation{'' if found['tested'] == 1 else 's'} put to the test"
    if found["answer"] == "equivalent":
        return f"Equivalent: under each of the {tried} A and B react alike to within {margin}; {largest}."
    if found["answer"] == "different":
        return f"Different: A and B were shown to react differently by more than {margin}; {largest}."
    return f"Undecided within {margin}, from {tried}: {largest}."
