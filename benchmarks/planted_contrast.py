"""The contrast as a way to compare in benchmarks/planted.py: what a study with `comparison.method=contrast` finds.

The rule, fixed before any result. The contrast's stages are followed with their functions, order, and defaults
(modeldiff_core/stages/contrast.py): datamodels of both halves, the number of differences that stand out, COMPONENTS
directions by size, at most DRAWS draws of the null of the largest, and of each other one that is named as a difference
of its own. A direction is significant as a report names it, adjusted p at most 0.05. It has a side, that of the
algorithm which varies more along it, in place of a mirror image. So, where a residual analysis has the first three
significant directions of side A−B, the contrast has the first three significant ones *of either side*; the rest of both
rules (planted.py, planted_search.py) is as written there. Also told: the number found with the directions of side A−B
alone.

The contrast of version 6 and before, `contrast-free`, took slopes outside the leading direction of margins that still
hold it. Since version 7 they are those of cleared margins, drawn towards one multiple as far as noise accounts for what
they vary. That was made after seed 50 had been seen on digits, where six plants were lost against residuals although
the direction tells the cue apart (AUC .9 to 1): draws of the null were as large as they. So seeds 50 to 53 judge
`contrast-free`, and seeds 54 to 57, which nobody had looked at, version 7.

Of each cue the record has the slope c_t, E[θ_A,t] = c_t·E[θ_B,t] in raw margins, outside the directions that are named:
its median over the test images that carry the cue and over the others of their class, and the same in units of the
margins' deviations (the tangent of the angle φ_t). Where A reacts more strongly to everything on the images with the
cue, that is what the hypothesis of reliance leaves free, and no difference.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.planted_kinds import Sample
from benchmarks.planted_ways import COMPONENTS, Margins
from modeldiff_core.comparison import contrast as contrasts
from modeldiff_core.comparison.contrast_null import decided, null_sample, sequential_p
from modeldiff_core.comparison.differences import naming_differences, standing_alone
from modeldiff_core.comparison.effect_sizes import more_under_a
from modeldiff_core.stages.contrast import BLOCK, Tested

DRAWS, SEED, LEVEL = 99, 0, 0.05
SHOWN, INFINITE = 2, 1e3
"""Cues of a lost plant that are printed, and c_t that is told as infinite."""


@dataclass(frozen=True)
class Contrasted:
    """Directions of a contrast, the largest difference first.

    Attributes:
        eigenvalues: Of the contrast along each.
        p: Of each.
        p_adjusted: No smaller than those before it.
        of_a: Whether A varies more along it.
        directions: Over training examples.
        projections: Of targets on them.
        differences: Number that are named by directions of their own.
        slopes: c_t of each target, in raw margins and in units of the margins' deviations.
    """

    eigenvalues: Float[np.ndarray, " components"]
    p: Float[np.ndarray, " components"]
    p_adjusted: Float[np.ndarray, " components"]
    of_a: Bool[np.ndarray, " components"]
    directions: Float[np.ndarray, "components train"]
    projections: Float[np.ndarray, "targets components"]
    differences: int
    slopes: tuple[Float[np.ndarray, " targets"], Float[np.ndarray, " targets"]]


def contrasted(
    a: Margins, b: Margins, components: int = COMPONENTS, most: int = DRAWS, *, free: bool = False
) -> Contrasted:
    """Return the directions of the contrast of A and B, and their p from at most so many draws each."""
    sample = contrasts.sample_of((a.masks, b.masks), (a.margins, b.margins))
    fits = sample.fits()
    contrast = contrasts.contrast_of(sample, fits)
    if free:
        contrast = replace(contrast, alike=None)
    contrast = naming_differences(contrast, sample, fits, components, SEED)
    found = contrasts.find_contrast(contrast, fits, components)
    values: list[float] = []
    drawn: list[np.ndarray] = []
    for rank in range(contrast.differences):
        value, draws = against(sample, fits, standing_alone(contrast, found.directions, rank), most)
        values.append(value)
        drawn.append(draws)
        if sequential_p(value, draws) > LEVEL:
            break
    tested = Tested(tuple(values), tuple(drawn), complete=True)
    p, adjusted = tested.p(found.eigenvalues, contrast.differences)
    slopes = np.tan(found.angles)
    unit_a, unit_b = sample.units
    return Contrasted(
        eigenvalues=found.eigenvalues,
        p=p,
        p_adjusted=adjusted,
        of_a=more_under_a(fits, contrast, found),
        directions=found.directions,
        projections=found.projections,
        differences=contrast.differences,
        slopes=(slopes * np.divide(unit_a, unit_b, out=np.ones_like(unit_a), where=unit_b > 0), slopes),
    )


def against(
    sample: contrasts.Sample, fits: contrasts.Fits, alone: contrasts.Contrast, most: int
) -> tuple[float, np.ndarray]:
    """Return the size of a difference and the draws of its null, as the stage of a null makes them."""
    largest = contrasts.find_contrast(alone, fits, 1)
    value, null, draws = float(largest.eigenvalues[0]), null_sample(sample, alone, largest.steady), np.empty(0)
    while not decided(value, draws, most):
        draws = np.append(draws, null.largest(range(len(draws), min(len(draws) + BLOCK, most)), SEED))
    return value, draws


def leading(tested: Contrasted, first: int, *, of_a: bool = False) -> list[int]:
    """Return the first significant directions of either side, or of side A−B alone, by rank."""
    chosen = (tested.p_adjusted <= LEVEL) & (tested.of_a | (not of_a))
    return np.flatnonzero(chosen)[:first].tolist()


def described(tested: Contrasted, made: Sample) -> dict[str, Any]:
    """Return what a record holds of a contrast beside what is judged: sizes, p, sides, differences and slopes."""
    significant = tested.p_adjusted <= LEVEL
    return {
        "eigenvalues": tested.eigenvalues.round(6).tolist(),
        "p": [tested.p.round(5).tolist()],
        "p_adjusted": [tested.p_adjusted.round(5).tolist()],
        "study_p": float(tested.p[0]),
        "sides": "".join("a" if of_a else "b" for of_a in tested.of_a),
        "differences": tested.differences,
        "significant": [int((significant & side).sum()) for side in (tested.of_a, ~tested.of_a)],
        "slopes": [_slopes(tested, truth.among, truth.carries) for truth in made.truths],
    }


def _slopes(tested: Contrasted, among: np.ndarray, carries: np.ndarray) -> dict[str, list[float]]:
    """Return the median slope of the images of a cue's class with the cue, and of those without."""
    groups = among & carries, among & ~carries
    median = partial(np.median, axis=0)
    return {
        name: [round(float(median(slopes[group])), 3) for group in groups]
        for name, slopes in zip(("raw", "standardized"), tested.slopes, strict=True)
    }


def side_by_side(records: list[dict[str, Any]], other: str, contrast: str = "contrast") -> str:
    """Return which plants the contrast and another way find, and each that the contrast alone loses, with its c_t."""
    both = [r for r in records if r["null"] is None and {contrast, other} <= set(r["ways"])]
    lines = [
        f"| {other} and {contrast}, same plants | both | {other} alone | {contrast} alone | neither |",
        "|---|" + "---|" * 4,
    ]
    for name, place in (("found", ()), ("by the search", ("search",))):
        pairs = [(_found(r["ways"][other], place), _found(r["ways"][contrast], place)) for r in both]
        counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        lines.append(f"| {name}, of {len(both)} | {' | '.join(map(str, counts))} |")
    of_a = sum(r["ways"][contrast]["found_of_a"] for r in both)
    lines.append(f"\nBy directions of side A−B alone {contrast} finds {of_a} of {len(both)}.")
    lost = [r for r in both if r["ways"][other]["found"] and not r["ways"][contrast]["found"]]
    return "\n".join([*lines, f"\nFound by {other} and not by {contrast}:", *(_lost(r, contrast) for r in lost)])


def _found(result: dict[str, Any], place: tuple[str, ...]) -> bool:
    for name in place:
        result = result.get(name, {})
    return bool(result.get("found"))


def _lost(record: dict[str, Any], contrast: str) -> str:
    """Return what a plant looks like that the contrast does not find."""
    result = record["ways"][contrast]
    best = [(max(row), int(np.argmax(row))) for row in result["auc"]][:SHOWN]
    aucs = ", ".join(f"{auc:.2f} (number {at + 1}, side {result['sides'][at].upper()})" for auc, at in best)
    slopes = "; ".join(_ratio(cue["raw"]) for cue in result["slopes"][:SHOWN])
    more = len(result["slopes"]) - SHOWN
    return (
        f"- {record['kind']}, {record['data']}, seed {record['seed']}: c_t {slopes}; p {result['p'][0][0]:.3f}, "
        f"{sum(result['significant'])} significant, best AUC {aucs}{f'; {more} more cues' if more > 0 else ''}"
    )


def _ratio(slopes: list[float]) -> str:
    """Return c_t with and without the cue."""
    told = ["∞" if slope > INFINITE else f"{slope:.2f}" for slope in slopes]
    return f"{told[0]} with the cue, {told[1]} without"
