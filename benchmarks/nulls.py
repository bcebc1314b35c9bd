"""Run null studies and planted ones through the contrast: how often it says "different", row by row.

    python -m benchmarks.nulls [--rows ROW ...] [--first 0] [--studies 300] [--out FILE] [--seconds S] [--table]

The rules, fixed before any run: a *false alarm* is a null study in which the largest direction has p ≤ 0.05. A row
of 300 studies passes with at most 23 alarms (a test of exactly 5 % fails that with probability .02), all null rows
together with at most 6 %. A row of fewer studies is reported with the probability of as many alarms, or more, at
exactly 5 %. A plant is *found* if the largest direction has p ≤ 0.05 and a |cosine| of at least 0.5 with the planted
one.

Studies are simulated: SIZE examples, targets and models, halves of the examples as masks, datamodels of class
structure, four shared factors and entries of their own, strengths that vary between targets, margins of which masks
explain 40 %. 99 draws of the null, fewer where what was drawn excludes p ≤ 0.05. Seeds: (row, study number), not
looked at before. One JSON line per finished study is appended to --out; studies in that file are not computed again,
so a run that was stopped goes on where it was. --seconds: end after so many seconds of processor time.

What is printed without a rule: in how many null studies the 95 % interval of all that differs holds 0.

Rows that train models and the planted battery are not here.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from harness.batteries import Battery, records
from harness.null_draws import against_null
from modeldiff_core.comparison.contrast_null import sequential_p
from modeldiff_core.comparison.effect_sizes import effect_sizes

LEVEL, DRAWS = 0.05, 99
SIZE = 150, 100, 800
"""Training examples, targets, models."""
EXPLAINED = 0.4
STRICT = 23
"""Most alarms of a row of 300."""


@dataclass(frozen=True)
class Row:
    """How A's and B's margins of a study are made.

    Attributes:
        noise: Deviation of B's noise in units of A's.
        means: Models a mask whose mean A's margin is, and B's; they have the same expectation.
        scale: Factor of all of B's margins.
        spread: Deviation of log c_t over targets.
        shared: Part of the noise variance that A and B have in common.
        saturated: Deviations of A's margins at which they saturate; 0 for never.
        paired: Whether B has A's masks.
        models: B's models, of A's.
        targets: Targets, if not SIZE's.
        of_a: A's models, if not SIZE's.
        train: Training examples, if not SIZE's.
        plant: Strength of a planted direction, in units of the rms length of a datamodel spread over all targets.
        side: Who has it.

    """

    noise: float = 1.0
    means: tuple[int, int] = (1, 1)
    scale: float = 1.0
    spread: float = 0.0
    shared: float = 0.0
    saturated: float = 0.0
    paired: bool = True
    models: float = 1.0
    targets: int = SIZE[1]
    of_a: int = SIZE[2]
    train: int = SIZE[0]
    plant: float = 0.0
    side: str = "a"


ROWS = {
    "identical": Row(),
    "identical, half of the noise shared": Row(shared=0.5),
    "noise x 1.5": Row(noise=1.5),
    "noise x 2": Row(noise=2.0),
    "mean of 4 against 1": Row(means=(4, 1)),
    "mean of 9 against 4": Row(means=(9, 4)),
    "margins x 1.5": Row(scale=1.5),
    "margins x 2": Row(scale=2.0),
    "tempered, own c": Row(spread=0.3),
    "tempered, own c, noise x 2": Row(spread=0.3, noise=2.0),
    "A saturated": Row(saturated=2.0),
    "masks of their own": Row(paired=False),
    "masks of their own, half as many models of B": Row(paired=False, models=0.5),
    "masks of their own, twice as many models of B": Row(paired=False, models=2.0),
    "masks of their own, noise x 2": Row(paired=False, noise=2.0),
    "masks of their own, 400 models": Row(paired=False, of_a=400),
    "masks of their own, 200 models, noise x 2": Row(paired=False, of_a=200, noise=2.0),
    "masks of their own, 200 models": Row(paired=False, of_a=200),
    "masks of their own, 400 models, 300 examples": Row(paired=False, of_a=400, train=300),
    "50 targets": Row(targets=50),
    "2,000 targets": Row(targets=2000),
    "planted in A, 0.15": Row(plant=0.15),
    "planted in B, 0.15": Row(plant=0.15, side="b"),
    "planted in A, 0.3": Row(plant=0.3),
    "planted in A, 0.3, noise x 1.5": Row(plant=0.3, noise=1.5),
    "planted in B, 0.3, noise x 1.5": Row(plant=0.3, noise=1.5, side="b"),
    "planted in A, 0.3, masks of their own": Row(plant=0.3, paired=False),
}


@dataclass(frozen=True)
class Simulated:
    """A study: masks, margins, margins without noise, and the planted direction."""

    masks: tuple[np.ndarray, np.ndarray]
    margins: tuple[np.ndarray, np.ndarray]
    expected: tuple[np.ndarray, np.ndarray]
    direction: np.ndarray


def simulated(name: str, number: int, size: tuple[int, int, int] | None = None) -> Simulated:
    """Return study `number` of a row, of so many training examples, targets and models or of the row's own size."""
    row, rng = ROWS[name], np.random.default_rng([*name.encode(), number])
    train, targets, models = size or (row.train, row.targets, row.of_a)
    class_of_target, class_of_example = rng.integers(10, size=targets), rng.integers(10, size=train)
    factors = rng.normal(size=(targets, 4)) @ rng.normal(size=(4, train))
    theta = (class_of_target[:, None] == class_of_example) + 0.15 * factors + 0.4 * rng.normal(size=(targets, train))
    theta *= np.exp(0.5 * rng.normal(size=(targets, 1)))
    of_class = np.flatnonzero(class_of_example == class_of_example[0])
    direction = np.zeros(train)
    direction[of_class] = rng.random(len(of_class)) < 0.6
    direction[of_class[0]] = 1
    direction /= np.linalg.norm(direction)
    moved = (class_of_target == class_of_example[0]) & (rng.random(targets) < 0.6)
    moved[:3] |= moved.sum() < 3
    length = np.sqrt(np.square(theta).sum(1).mean() * targets / moved.sum())
    block = row.plant * length * moved[:, None] * direction
    slopes = np.exp(row.spread * rng.normal(size=(targets, 1)))
    of_a, of_b = theta + block * (row.side == "a"), (theta + block * (row.side == "b")) * slopes
    masks_a = np.argsort(rng.random((models, train)), 1) < train // 2
    masks_b = masks_a
    if not row.paired:
        masks_b = np.argsort(rng.random((round(models * row.models), train)), 1) < train // 2
    deviation = np.sqrt(0.25 * np.square(theta).sum(1) * (1 - EXPLAINED) / EXPLAINED)
    common = rng.normal(size=(models, targets)) * np.sqrt(row.shared)

    def noise(count: int, means: int) -> np.ndarray:
        own = rng.normal(size=(count, targets)) * np.sqrt((1 - row.shared) / means)
        return own + (common[:count] if row.shared else 0)

    expected = masks_a @ of_a.T, row.scale * (masks_b @ of_b.T)
    a = expected[0] + deviation * noise(len(masks_a), row.means[0])
    b = expected[1] + row.scale * slopes[:, 0] * row.noise * deviation * noise(len(masks_b), row.means[1])
    if row.saturated:
        unit = row.saturated * a.std(0)
        a = unit * np.tanh((a - a.mean(0)) / unit)
    return Simulated((masks_a, masks_b), (a.astype(np.float32), b.astype(np.float32)), expected, direction)


def no_alarm(value: float, drawn: np.ndarray) -> bool:
    """Return whether p will be above LEVEL whatever the draws that are left give."""
    return int((drawn >= value).sum()) + 1 > LEVEL * (DRAWS + 1)


def study(name: str, number: int) -> dict[str, Any]:
    """Return the record of one study."""
    made, began = simulated(name, number), time.process_time()
    test = against_null(made.masks, made.margins, 3, DRAWS, number, no_alarm)
    found, drawn = test.found, test.drawn
    sizes = effect_sizes(test.sample, test.fits, test.contrast, found)
    record = {
        "row": name,
        "study": number,
        "p": test.p,
        "draws": len(drawn),
        "significant": sum(sequential_p(float(v), drawn) <= LEVEL for v in found.eigenvalues),
        "cosine": round(float(abs(found.directions[0] @ made.direction)), 3),
        "total": round(sizes.total, 5),
        "total interval": [round(end, 5) for end in (sizes.all_that_differs().low, sizes.all_that_differs().high)],
    }
    return {**record, "seconds": round(time.process_time() - began, 2)}


def table(out: Path) -> str:
    """Return every row: studies, alarms or plants found, directions named."""
    lines = [
        "| row | studies | p ≤ .05 | chance of as many at exactly 5 % | found | directions where any | total holds 0 |",
        "|---|---|---|---|---|---|---|",
    ]
    found = list(records(out))
    alarms, nulls = 0, 0
    for name, row in ROWS.items():
        own = [one for one in found if one["row"] == name]
        if not own:
            continue
        hits = sum(one["p"] <= LEVEL for one in own)
        named = [one["significant"] for one in own if one["significant"]]
        if row.plant:
            plants = sum(one["p"] <= LEVEL and one["cosine"] >= 0.5 for one in own)
            chance, share = "", f"{plants / len(own):.2f}"
        else:
            chance, share = f"{binom.sf(hits - 1, len(own), LEVEL):.2f}", ""
            alarms, nulls = alarms + hits, nulls + len(own)
        mean = f"{np.mean(named):.2f}" if named else ""
        ends = [one["total interval"] for one in own if "total interval" in one and not row.plant]
        zero = f"{np.mean([low <= 0 <= high for low, high in ends]):.3f}" if ends else ""
        lines.append(f"| {name} | {len(own)} | {hits} | {chance} | {share} | {mean} | {zero} |")
    lines.append(f"| all null rows | {nulls} | {alarms} ({100 * alarms / max(1, nulls):.1f} %) | | | | |")
    return "\n".join(lines)


BATTERY = Battery("Null studies and planted ones, simulated.", list(ROWS), 300, Path("nulls.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
