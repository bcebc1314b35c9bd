"""A comparison without datamodels: directions of differentiated trainings; what follows is shared with other ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modeldiff_core.comparison import extremes
from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.plan import Label, Step
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.handful import LETTERS, Handful
from modeldiff_core.stages.matrix import MatrixSpec
from modeldiff_core.stages.matrix_free import FoundDirections, MatrixFree
from modeldiff_core.stages.matrix_free_score import MaskProducts, MatrixFreeScore
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.screening import ScreeningOf
from modeldiff_core.statistics import participation
from modeldiff_core.study import StudyConfig, Training
from modeldiff_core.study.config import ComparisonConfig


@dataclass(frozen=True)
class MatrixFreeComparison(Comparison):
    """A comparison by products of trainings; its only subset models are those that scores are measured on."""

    @property
    def handful(self) -> Handful:
        """The trainings and their products."""
        settings = self.study.comparison
        asked = settings.matrix_free
        return Handful(self.trainings, asked.trainings, asked.probes, settings.seed, asked.batch_statistics)

    @cached_property
    def pair(self) -> MatrixFree:
        settings = self.study.comparison
        return self.handful.pair(settings.components, settings.top)

    def matrix(self, training: Training) -> MatrixSpec:
        held = self.study.subsets.evaluation_models
        return MatrixSpec(SubsetModels(training), held, ScreeningOf.of(self.study, training))

    @property
    def spread(self) -> None:
        return None

    @property
    def permutations(self) -> int:
        return 0

    def regressions(self) -> dict[tuple[str, str], Regression]:
        return {}

    def scored(self) -> dict[tuple[str, str], Regression]:
        return {}

    def score(self, which: str) -> MatrixFreeScore:
        """Return the score of a side's products."""
        training, held = self.sides[which], self.study.subsets.evaluation_models
        first = self.handful.compared.start
        numbers = range(first, first + self.study.comparison.matrix_free.scored)
        products = tuple(MaskProducts(self.handful.derived(which, number), held) for number in numbers)
        return MatrixFreeScore(products, self.matrix(training).reference, self.study.ensemble.models)

    def direction_steps(self) -> Iterator[Step]:
        yield self.pair.step(f"{self.study.name} directions", Label("directions", "directions", ("comparison",)))


def comparison_of(study: StudyConfig) -> Comparison:
    """Return the comparison that a study's method asks for."""
    return (MatrixFreeComparison if study.comparison.method == "matrix_free" else Comparison).of(study)


def training_entries(settings: ComparisonConfig, found: FoundDirections) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json, the strongest first; p is None where trainings are too few for one."""
    arrays = found.content.arrays
    entries = []
    for rank, (side, index) in enumerate(found.ranked()):
        most, least = extremes(arrays[f"{side}.projections"][:, index], settings.top)
        train, _ = extremes(arrays[f"{side}.directions"][index], settings.top)
        p = found.told(side, index, "p") if found.tested else None
        alike = {name: found.told(side, index, name) for name in ("stability", "overlap")}
        entries.append(
            {
                "side": side,
                "index": index,
                "rank": rank,
                "explained_variance": {name: found.told(side, index, f"variance_{name}") for name in LETTERS},
                "explained_variance_in_sample": {"a": None, "b": None},
                "strength": found.told(side, index, "strength"),
                "null_p": p,
                "p_adjusted": p,
                "significant": p is not None and p <= settings.significance,
                **{name: value if value == value else None for name, value in alike.items()},
                "models_needed": None,
                "top_targets": most.tolist(),
                "bottom_targets": least.tolist(),
                "top_train": train.tolist(),
                "carried_by": {
                    "targets": participation(arrays[f"{side}.projections"][:, index]),
                    "train": participation(arrays[f"{side}.directions"][index]),
                },
            }
        )
    return entries


def products_entry(found: FoundDirections, scores: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Return the ``products`` of summary.json: trainings, products, what the basis misses, and what was left out."""
    return {
        "estimator": "metagradient",
        "trainings": found.pairs + len(found.left_out),
        "left_out": list(found.left_out),
        "tested": found.tested,
        "differentiated": found.cost["trainings"],
        "reverse": found.cost["reverse"],
        "forward": found.cost["forward"],
        "along_masks": sum(score["models"] * score["trainings"] for score in scores),
        "missed": found.missed,
        "repeatability": dict(zip(LETTERS, found.repeatability, strict=True)),
        "smallest_p": 2.0 ** (1 - found.pairs) if found.tested else None,
    }


def product_sentences(entry: dict[str, Any], directions: list[dict[str, Any]], settings: ComparisonConfig) -> list[str]:
    """Return what the trainings say of directions, how many were left out, and what was computed."""
    counted = entry["trainings"] - len(entry["left_out"])
    said = []
    if entry["tested"]:
        real = [one for one in directions if one["significant"]]
        said.append(
            f"{len(real) or 'None'} of {len(directions)} directions stand{'s' if len(real) == 1 else ''} out from "
            f"chance (p ≤ {settings.significance:g}; whole trainings as replicates, {counted} of each algorithm, "
            f"smallest possible p {entry['smallest_p']:.2g})."
        )
    else:
        said.append(
            f"Directions cannot be tested: {counted} training{'' if counted == 1 else 's'} of each algorithm, and a "
            f"test takes {LEAST_TESTED} or more (comparison.matrix_free.trainings)."
        )
    if entry["left_out"]:
        numbers = ", ".join(map(str, entry["left_out"]))
        pairs = "1 pair" if len(entry["left_out"]) == 1 else f"{len(entry['left_out'])} pairs"
        said.append(f"{pairs} of trainings left out, since one of the two diverged: number {numbers}.")
    said.append(
        f"Directions rest on derivatives of {entry['differentiated']} trainings (estimator metagradient), no datamodel "
        f"was formed: {entry['reverse']:,} reverse and {entry['forward']:,} forward products, and "
        f"{entry['along_masks']:,} along held-out masks for the scores. A reverse product more would lie to "
        f"{100 * entry['missed']:.0f} % outside of the basis."
    )
    return said
