"""Plant two and three differences at once, on one side and on both, and count how many are named.

    python -m benchmarks.several [--first 0] [--studies 60] [--out FILE] [--seconds S] [--table]

The rules, fixed before the run: in 80 % or more of 60 simulated studies of each row as many differences are named as
are planted; of one difference on each side, each is named with its side in 80 % or more; of all studies together at
most 5 % name more than are planted. A difference is named as a report does it: directions that are significant, of one
side and with half of their images or examples in common beyond chance, are one. No transformation is there to tell
which belong together. The first is tested with 99 draws of its null, each other one, if several stand out, with 39 of
its own (its least p is .025); if they do not, the others are tested against the draws of the first.

Studies: SIZE examples, targets and models of benchmarks.nulls; each difference gives 60 % of the examples of one
class more influence on 60 % of the test images of that class, in one algorithm. Strengths as there. Seeds from (row,
number), not looked at before: how differences are told apart was made on those from 50000 and from 500000; version 4 of
the contrast was judged on those from 21000, version 5 on those from 22000, version 7 on those from 23000. One JSON line
a study, with what is the most that two of its directions have of their variances on the same targets; a run that was
stopped goes on.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nulls import DRAWS, EXPLAINED, LEVEL, SIZE
from harness.batteries import Battery, records
from harness.null_draws import BLOCK
from modeldiff_core.comparison.contrast import Contrast, Fits, Sample, centered, contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import decided, null_sample, sequential_p
from modeldiff_core.comparison.differences import naming_differences, shared_targets, standing_alone
from modeldiff_core.comparison.effect_sizes import more_under_a
from modeldiff_core.comparison.grouping import Traits, grouped
from modeldiff_core.comparison.subpopulations import extremes

ROWS: dict[str, tuple[tuple[str, float], ...]] = {
    "two in A": (("a", 0.3), ("a", 0.4)),
    "three in A": (("a", 0.3), ("a", 0.4), ("a", 0.5)),
    "one in A, one in B": (("a", 0.35), ("b", 0.35)),
    "two in A, one in B": (("a", 0.3), ("a", 0.4), ("b", 0.4)),
}
COMPONENTS, TOP = 6, 12
MORE = 39
"""Draws of the null of each difference after the first."""


def simulated(name: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return masks and A's and B's margins."""
    rng = np.random.default_rng([*name.encode(), number])
    train, targets, models = SIZE
    class_of_target, class_of_example = np.arange(targets) % 10, np.arange(train) % 10
    factors = rng.normal(size=(targets, 4)) @ rng.normal(size=(4, train))
    theta = (class_of_target[:, None] == class_of_example) + 0.15 * factors + 0.4 * rng.normal(size=(targets, train))
    theta *= np.exp(0.5 * rng.normal(size=(targets, 1)))
    of = {"a": theta.copy(), "b": theta.copy()}
    classes = rng.permutation(10)
    for (side, strength), number_of_class in zip(ROWS[name], classes, strict=False):
        direction = ((class_of_example == number_of_class) & (rng.random(train) < 0.6)).astype(np.float64)
        moved = (class_of_target == number_of_class) & (rng.random(targets) < 0.6)
        direction /= max(float(np.linalg.norm(direction)), 1.0)
        length = np.sqrt(np.square(theta).sum(1).mean() * targets / max(int(moved.sum()), 1))
        of[side] += strength * length * moved[:, None] * direction
    masks = np.argsort(rng.random((models, train)), 1) < train // 2
    deviation = np.sqrt(0.25 * np.square(theta).sum(1) * (1 - EXPLAINED) / EXPLAINED)
    a, b = (masks @ of[side].T + deviation * rng.normal(size=(models, targets)) for side in "ab")
    return masks, a, b


def study(name: str, number: int) -> dict[str, Any]:
    """Return how many directions and differences of each side one study names."""
    masks, a, b = simulated(name, number)
    sample = sample_of((masks, masks), (a, b))
    fits = sample.fits()
    contrast = naming_differences(contrast_of(sample, fits), sample, fits, COMPONENTS, number)
    found = find_contrast(contrast, fits, COMPONENTS)
    of_a = more_under_a(fits, contrast, found)
    significant: list[int] = []
    for rank in range(contrast.differences if contrast.differences > 1 else COMPONENTS):
        value = float(found.eigenvalues[rank])
        if rank < contrast.differences:
            alone = standing_alone(contrast, found.directions, rank)
            value, draws = against(alone, sample, fits, number, MORE if rank else DRAWS)
        if sequential_p(value, draws) > LEVEL:
            break
        significant.append(rank)
    traits = []
    for rank in significant:
        most, least = extremes(found.projections[:, rank], TOP)
        train, _ = extremes(found.directions[rank], TOP)
        side = "a" if of_a[rank] else "b"
        targets = frozenset([*most.tolist(), *least.tolist()])
        traits.append(Traits(side, targets, frozenset(train.tolist()), among=(SIZE[1], SIZE[0])))
    groups = grouped(traits)
    sides = "".join(sorted(traits[group[0]].side for group in groups))
    shared = shared_targets(centered(contrast.rows(fits)[0]), found.directions[: contrast.differences].T)
    record = {"row": name, "study": number, "directions": len(traits), "differences": sides}
    return {**record, "shared": round(shared, 3)}


def against(contrast: Contrast, sample: Sample, fits: Fits, seed: int, most: int) -> tuple[float, np.ndarray]:
    """Return the largest eigenvalue of a contrast and so many draws of its null, or fewer where they decide."""
    largest = find_contrast(contrast, fits, 1)
    value, null, draws = float(largest.eigenvalues[0]), null_sample(sample, contrast, largest.steady), np.empty(0)
    while not decided(value, draws, most):
        draws = np.append(draws, null.largest(range(len(draws), min(len(draws) + BLOCK, most)), seed))
    return value, draws


def table(out: Path) -> str:
    """Return a line for each row."""
    lines = [
        "| planted | studies | number named right | and their sides | directions | differences named |",
        "|---|---|---|---|---|---|",
    ]
    found, more = list(records(out)), 0
    for name, planted in ROWS.items():
        own = [one for one in found if one["row"] == name]
        if not own:
            continue
        sides = "".join(sorted(side for side, _ in planted))
        more += sum(len(one["differences"]) > len(sides) for one in own)
        right = np.mean([len(one["differences"]) == len(sides) for one in own])
        both = np.mean([one["differences"] == sides for one in own])
        directions, named = (np.mean([count(one) for one in own]) for count in (_directions, _named))
        lines.append(f"| {name} | {len(own)} | {right:.2f} | {both:.2f} | {directions:.2f} | {named:.2f} |")
    return "\n".join([*lines, f"{more} of {len(found)} studies name more than are planted."])


def _directions(one: dict[str, Any]) -> int:
    return int(one["directions"])


def _named(one: dict[str, Any]) -> int:
    return len(one["differences"])


BATTERY = Battery("Several differences at once, simulated.", list(ROWS), 60, Path("several.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
