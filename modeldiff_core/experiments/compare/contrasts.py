"""What a contrast found: its directions with sizes, intervals and p, all that differs, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.comparison import extremes
from modeldiff_core.comparison.effect_sizes import EffectSizes, Estimate
from modeldiff_core.comparison.grouping import Traits, grouped
from modeldiff_core.comparison.slope_test import SlopeTest
from modeldiff_core.comparison.verdict import Verdict, models_needed, verdict
from modeldiff_core.experiments.compare.compared import Compared
from modeldiff_core.stages.contrast import NullSettings, Tested, ranked, read_null, sizes_in, slopes_in
from modeldiff_core.statistics import participation
from modeldiff_core.store import ObjectStore, TensorObject, read_tensors
from modeldiff_core.study.config import ComparisonConfig


@dataclass(frozen=True)
class ContrastFindings:
    """A contrast read back from the store.

    Attributes:
        content: The stored directions.
        sizes: Of the directions; the significant ones are named.
        slopes: How strongly targets react.
        tested: The draws of the null.

    """

    content: TensorObject
    sizes: EffectSizes
    slopes: SlopeTest
    tested: Tested

    @property
    def models(self) -> int:
        """Replicates of each algorithm that were fitted."""
        fitted: Any = self.content.facts["models"]
        return int(fitted)

    def significant(self, settings: ComparisonConfig) -> list[int]:
        """Return the ranks of the significant directions."""
        _, adjusted = p_of(self.content, self.tested)
        return np.flatnonzero(adjusted <= settings.significance).tolist()


def p_of(content: TensorObject, tested: Tested) -> tuple[Float[np.ndarray, " components"], np.ndarray]:
    """Return p and adjusted p of a contrast's directions."""
    differences: Any = content.facts["differences"]
    return tested.p(content.arrays["eigenvalues"], differences)


def read_contrast(store: ObjectStore, comparison: Compared) -> ContrastFindings:
    """Return the contrast of a comparison; raises FileNotFoundError as long as its tests ask for more draws."""
    found, settings = comparison.directions, NullSettings.of(comparison.study.comparison)
    content = read_tensors(store, found.record, {"directions": found.digest})
    tested = read_null(store, comparison.regressed, settings)
    if not tested.complete:
        raise FileNotFoundError(f"{store.url(found.record)}: draws of its null are missing")
    _, adjusted = p_of(content, tested)
    named = int((adjusted <= settings.significance).sum())
    return ContrastFindings(content, sizes_in(content).naming(named), slopes_in(content, named), tested)


def contrast_entries(
    settings: ComparisonConfig, found: ContrastFindings, undefined: tuple[int, ...] = ()
) -> list[dict[str, Any]]:
    """Return the ``directions`` of summary.json of a contrast, the largest difference first.

    Those of residual analyses, and: ``difference`` and ``explained_variance_ci``, intervals of 95 %; ``ratio`` of
    the side's variance to the other's; ``share`` of all that differs (None where a quotient cannot be told, or where
    the halves' versions of the direction lie on the other side than it does); ``models_needed`` as an interval.
    undefined: training examples that every model has, or none, which are not named.
    """
    arrays, sizes = found.content.arrays, found.sizes
    p, adjusted = p_of(found.content, found.tested)
    entries = []
    for rank, (side, index) in enumerate(ranked(found.content)):
        most, least = extremes(arrays[f"{side}.projections"][:, index], settings.top)
        train, _ = extremes(known(arrays[f"{side}.directions"][index], undefined), settings.top)
        under = {name: sizes.under(name, rank) for name in ("a", "b")}
        significant = bool(adjusted[rank] <= settings.significance)
        needed = None
        if not significant and found.tested.draws:
            null = found.tested.draws[min(rank, len(found.tested.draws) - 1)]
            needed = models_needed(sizes.difference(rank), null, found.models, settings.significance)
        entries.append(
            {
                "side": side,
                "index": index,
                "rank": rank,
                "explained_variance": {name: one.value for name, one in under.items()},
                "explained_variance_ci": {name: ends(one) for name, one in under.items()},
                "difference": estimate(sizes.difference(rank)),
                "ratio": estimate(
                    sizes.ratio(rank) if (under["a"].value >= under["b"].value) == (side == "a-b") else None
                ),
                "share": estimate(sizes.share([rank])),
                "explained_variance_in_sample": {"a": None, "b": None},
                "in_sample_difference": float(arrays["eigenvalues"][rank]),
                "null_p": float(p[rank]),
                "p_adjusted": float(adjusted[rank]),
                "significant": significant,
                "stability": float(arrays["stability"][rank]),
                "overlap": float(arrays["overlap"][rank]),
                "models_needed": None if needed is None else needed[1],
                "models_needed_interval": None if needed is None else list(needed),
                "top_targets": most.tolist(),
                "bottom_targets": least.tolist(),
                "top_train": [int(example) for example in train if example not in undefined],
                "carried_by": {
                    "targets": participation(arrays[f"{side}.projections"][:, index]),
                    "train": participation(arrays[f"{side}.directions"][index]),
                },
            }
        )
    return entries


def variances_told(entry: Mapping[str, Any]) -> bool:
    """Return whether the variances under A and B are the direction's own, and not those of worse versions of it.

    They are measured on versions of the direction from half the models each. Where those of a significant direction
    lie on the other side than it does, half the models find it too badly for its variances to be told.
    """
    if "ratio" not in entry or not entry["significant"]:
        return True
    under = entry["explained_variance"]
    return bool((under["a"] >= under["b"]) == (entry["side"] == "a-b"))


def known(weights: Float[np.ndarray, " train"], undefined: tuple[int, ...]) -> Float[np.ndarray, " train"]:
    """Return weights of which undefined ones are never among the largest."""
    defined = weights.copy()
    defined[list(undefined)] = -np.inf
    return defined


def estimate(one: Estimate | None) -> dict[str, float | None] | None:
    """Return a number with its interval as JSON; an end that is not finite is null."""
    return None if one is None else {"value": _finite(one.value), "low": _finite(one.low), "high": _finite(one.high)}


def ends(one: Estimate) -> list[float | None]:
    """Return the ends of an interval as JSON."""
    return [_finite(one.low), _finite(one.high)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def difference_entries(
    entries: Sequence[dict[str, Any]], moved: dict[tuple[str, int], set[str]], found: ContrastFindings
) -> list[dict[str, Any]]:
    """Return the ``differences`` of summary.json: significant directions that are one difference, together.

    Args:
        entries: The ``directions``.
        moved: Names of confirmed transformations by the direction that they were found along.
        found: The contrast.
    """
    significant = [entry for entry in entries if entry["significant"]]
    traits = [
        Traits(
            entry["side"],
            frozenset([*entry["top_targets"], *entry["bottom_targets"]]),
            frozenset(entry["top_train"]),
            frozenset(moved.get((entry["side"], entry["index"]), ())),
            (len(found.content.arrays["weights"]), found.content.arrays[f"{entry['side']}.directions"].shape[1]),
        )
        for entry in significant
    ]
    result = []
    for group in grouped(traits):
        members = [significant[at] for at in group]
        ranks = [entry["rank"] for entry in members]
        result.append(
            {
                "side": members[0]["side"],
                "directions": [entry["index"] for entry in members],
                "difference": estimate(found.sizes.explained(ranks)),
                "share": estimate(found.sizes.share(ranks)),
                "p_adjusted": min(entry["p_adjusted"] for entry in members),
                "transformations": sorted(set().union(*(traits[at].moved_by for at in group))),
            }
        )
    return result


def verdict_of(found: ContrastFindings, settings: ComparisonConfig, margin: float) -> Verdict:
    """Return the verdict on a comparison."""
    return verdict(found.sizes, found.significant(settings), found.models, margin, settings.significance)


def total_entry(found: ContrastFindings, significant: list[int]) -> dict[str, Any]:
    """Return the ``total`` of summary.json: all that differs, and what the significant directions explain of it."""
    return {
        **(estimate(found.sizes.all_that_differs()) or {}),
        "explained": estimate(found.sizes.share(significant)) if significant else None,
    }


def slope_entry(found: ContrastFindings) -> dict[str, float]:
    """Return the ``reaction`` of summary.json: how strongly targets react under A relative to B."""
    return {"middle": found.slopes.middle, "spread": found.slopes.spread, "p": found.slopes.p}
