"""Plant a difference in spread alone: labels of a few training examples that are drawn anew for each seed of B.

    python -m benchmarks.spread [--rows ROW ...] [--first 0] [--studies 30] [--out FILE] [--seconds S] [--table]

**The plant.** A tenth of one class of 500 digits, five training examples, has label noise in B: each of them that is in
a subset gets another label, any of the other nine, with a probability of RATE, drawn for each model by itself. A trains
on the labels as they are, on the same masks, with the same initial weights and batches as B's model of that number
(`subsets.paired`, seeds shared: the defaults). Every mask has two models or four.

**The rules, fixed before the runs.** The spread is compared by the platform's own comparison with its defaults (part 8
of a comparison: `evaluation/spread.py`, as many targets and draws as `stages/spread.py`). A plant is *found* if p ≤ .05
and the direction lies on B's side: the noisy examples' mean weight is below the others', where the direction's sign is
such that its largest projection is positive. The goal is 27 of 30 at a rate of 10 %. It must be spread *alone*: the
means of A's and B's margins must lie within .05 deviations of each other, mean over the targets. A *false alarm* is p ≤
.05 in a study `none`, in which B is A with other seeds: a row of 30 passes with at most 4 (a test of exactly 5 % fails
that with probability .02). Counted and not graded are studies `fixed`, in which the noise is drawn once for all models
of B (at a rate of 50 %, so that labels do change): no label is drawn by a seed, but models may lie further apart over
an example that has a wrong label than over one that has its own.

Also told: the area under the ROC curve of the direction's weights, noisy examples against all others; the same without
the test by example, that is, of the direction's variance alone; by how much the noise raises the variance within masks,
over the targets of the class and over the others; the part of all variance that lies within masks without it.

Rows: `mlp`, the planted battery's network for digits, 1,000 masks of two models; `head`, a softmax head on the frozen
features of a random network of 128 units, 2,000 masks of two, which has hardly any other spread than its labels'; each
with its two null studies on the same A. `curve mlp` and `curve head`: rates of 10, 30 and 50 %; 500 to 4,000 models, of
two or four a mask. Seeds from (row, number); development used data sets that no row has.
"""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from benchmarks.planted import RECIPES
from benchmarks.planted_kinds import SMALL, Sample, sample
from harness.batteries import Battery, records
from modeldiff_core.data import Examples
from modeldiff_core.evaluation.spread import spread, spread_difference
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.models.small import MLP
from modeldiff_core.stages.spread import DRAWS, compared_targets
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

CLASSES, LAUNCH, LEVEL = 10, 500, 0.05
SHARE, RATE, FIXED_RATE = 0.1, 0.1, 0.5
RATES, MODELS, SEEDS = (0.1, 0.3, 0.5), (500, 1000, 2000, 4000), (2, 4)
FIRST_DATA = 70_000
MASKS = {"mlp": 1000, "head": 2000}
"""Masks of a study, two models each."""
Masks = Bool[np.ndarray, "models train"]
Margins = Float[np.ndarray, "models targets"]
Labels = Int[np.ndarray, "models group"]


@cache
def recipe(name: str) -> Sgd:
    """Return the algorithm of a row."""
    if name == "mlp":
        return RECIPES[SMALL]
    torch.manual_seed(0)
    file = Path(tempfile.mkdtemp()) / "features.pt"
    torch.save(MLP((8, 8, 1), (128,), CLASSES).state_dict(), file)
    network = Network("mlp", (128,), init=str(file), trainable="head")
    return Sgd(network=network, epochs=10, learning_rate=0.1, weight_decay=0.005)


def chosen(made: Sample, seed: int) -> Int[np.ndarray, " group"]:
    """Return the noisy examples: SHARE of one class."""
    rng = np.random.default_rng([seed, 1])
    own = np.flatnonzero(made.train_a.labels == rng.integers(CLASSES))
    return np.sort(rng.permutation(own)[: round(SHARE * len(own))])


def drawn_labels(labels: Int[np.ndarray, " group"], rate: float, seed: int, models: range) -> Labels:
    """Return each model's labels of the noisy examples; what a lower rate changes a higher one changes, too."""
    rows = np.tile(labels, (len(models), 1))
    for row, model in zip(rows, models, strict=True):
        rng = np.random.default_rng([seed, 2, model])
        flipped, step = rng.random(len(row)) < rate, rng.integers(1, CLASSES, len(row))
        row[flipped] = (row[flipped] + step[flipped]) % CLASSES
    return rows


def unfolded(examples: Examples, group: Int[np.ndarray, " group"]) -> tuple[Examples, Int[np.ndarray, " train"]]:
    """Return the examples, those of the group once under each label, and where each one starts.

    Copies stand where the example stood, so that models draw the same batches whichever of them a mask has.
    """
    times = np.where(np.isin(np.arange(len(examples)), group), CLASSES, 1)
    rows, first = np.repeat(np.arange(len(examples)), times), np.cumsum(times) - times
    labels = examples.labels[rows].copy()
    for start in first[group]:
        labels[start : start + CLASSES] = np.arange(CLASSES)
    return Examples(examples.images[rows], labels, {}), first


def margins(recipe: Sgd, made: Sample, group: np.ndarray, masks: Masks, labels: Labels, seed: int) -> Margins:
    """Return margins of models that have these labels for the examples of the group."""
    examples, first = unfolded(made.train_a, group)
    seen = np.zeros((len(masks), len(examples)), bool)
    seen[:, first] = masks
    seen[:, first[group]] = False
    for at, own in zip(group, labels.T, strict=True):
        seen[np.arange(len(masks)), first[at] + own] = masks[:, at]
    truth, parts = torch.from_numpy(made.test.labels), []
    for start in range(0, len(masks), LAUNCH):
        models = range(start, min(start + LAUNCH, len(masks)))
        trained = recipe.train(examples, CLASSES, seen[models.start : models.stop], models, seed, Execution(stack=50))
        parts.append(correct_class_margin(torch.from_numpy(trained.logits(made.test.images)), truth).numpy())
    return np.concatenate(parts)


def compared(masks: Masks, a: Margins, b: Margins, group: np.ndarray) -> dict[str, Any]:
    """Return what the comparison of spread says of studies with several models a mask."""
    targets = compared_targets(a.shape[1])
    sides = [spread(masks, y[:, targets].astype(np.float64)) for y in (a, b)]
    found, noisy = spread_difference(*sides, draws=DRAWS, by_example=True), np.isin(np.arange(masks.shape[1]), group)
    side_b = bool(found.direction[noisy].mean() < found.direction[~noisy].mean())
    return {
        "p": round(found.p, 4),
        "p_of_variance": round(found.p_of_variance, 4),
        "side_b": side_b,
        "auc": round(float(roc_auc_score(noisy, -found.direction)), 3),
        "found": found.p <= LEVEL and side_b,
        "found_by_variance": found.p_of_variance <= LEVEL and side_b,
    }


def study(name: str, number: int) -> dict[str, Any]:
    """Return the record of one study."""
    began, seed = time.process_time(), FIRST_DATA + number
    kind, curve = name.removeprefix("curve "), name.startswith("curve")
    made = sample(SMALL, None, seed + (5000 if curve else 0))
    group = chosen(made, seed)
    torch.set_num_threads(1)
    record = {"row": name, "study": number, "group": len(group)}
    result = _curve(kind, made, group, seed) if curve else _alone(kind, made, group, seed)
    return {**record, **result, "seconds": round(time.process_time() - began, 1)}


def _masks(made: Sample, masks: int, seeds: int, seed: int) -> Masks:
    return np.repeat(SubsetSampler(len(made.train_a), 0.5, seed).masks(range(masks)), seeds, axis=0)


def _alone(kind: str, made: Sample, group: np.ndarray, seed: int) -> dict[str, Any]:
    masks, own = _masks(made, MASKS[kind], 2, seed), made.train_a.labels[group]
    plain, models = np.tile(own, (2 * MASKS[kind], 1)), range(2 * MASKS[kind])
    fixed = np.tile(drawn_labels(own, FIXED_RATE, seed, range(1)), (len(models), 1))
    a = margins(recipe(kind), made, group, masks, plain, 1)
    b = {
        "planted": margins(recipe(kind), made, group, masks, drawn_labels(own, RATE, seed, models), 1),
        "fixed": margins(recipe(kind), made, group, masks, fixed, 1),
        "none": margins(recipe(kind), made, group, masks, plain, 2),
    }
    sizes = _sizes(a, b["planted"], made, group)
    return {**sizes, **{which: compared(masks, a, own, group) for which, own in b.items()}}


def _sizes(a: Margins, b: Margins, made: Sample, group: np.ndarray) -> dict[str, float]:
    """Return how far the means lie apart, what of the variance is within masks, and what the noise adds to it."""
    of_class = made.test.labels == made.train_a.labels[group[0]]
    within = [y.reshape(-1, 2, y.shape[1]).var(1, ddof=1).mean(0, dtype=np.float64) for y in (a, b)]
    apart = np.abs((b - a).mean(0)) / a.std(0)
    return {
        "means": round(float(apart.mean()), 4),
        "within": round(float(np.median(within[0] / a.var(0))), 4),
        "raised": round(float(np.median((within[1] / within[0])[of_class])), 4),
        "raised_others": round(float(np.median((within[1] / within[0])[~of_class])), 4),
    }


def _curve(kind: str, made: Sample, group: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the results of every rate, number of models and seeds a mask; smaller studies are parts of larger ones."""
    own, cells = made.train_a.labels[group], []
    for seeds in SEEDS:
        masks = _masks(made, MODELS[-1] // seeds, seeds, seed)
        a = margins(recipe(kind), made, group, masks, np.tile(own, (len(masks), 1)), 1)
        for rate in RATES:
            b = margins(recipe(kind), made, group, masks, drawn_labels(own, rate, seed, range(len(masks))), 1)
            cells += [
                {"rate": rate, "models": m, "seeds": seeds, **compared(masks[:m], a[:m], b[:m], group)} for m in MODELS
            ]
    return {"cells": cells}


def table(out: Path) -> str:
    """Return the rows, then the curves."""
    found = list(records(out))
    lines = [
        "| row | studies | found | by the variance alone | AUC | means | within masks | raised by | elsewhere |",
        "|" + "---|" * 9,
    ]
    nulls = ["| B's noise | row | studies | p ≤ .05 | chance of as many | by the variance alone |", "|" + "---|" * 6]
    for name in MASKS:
        own = [one for one in found if one["row"] == name]
        if not own:
            continue
        hits, by = (
            sum(one["planted"]["found"] for one in own),
            sum(one["planted"]["found_by_variance"] for one in own),
        )
        auc = np.median([one["planted"]["auc"] for one in own])
        means, within, raised, others = (
            np.median([one[key] for one in own]) for key in ("means", "within", "raised", "raised_others")
        )
        lines.append(
            f"| {name}, {2 * MASKS[name]} models | {len(own)} | {hits} | {by} | {auc:.2f} | {means:.3f} | {within:.3f} "
            f"| {raised:.3f} | {others:.3f} |"
        )
        for which in ("fixed", "none"):
            alarms = sum(one[which]["p"] <= LEVEL for one in own)
            chance = binom.sf(alarms - 1, len(own), LEVEL)
            other = sum(one[which]["p_of_variance"] <= LEVEL for one in own)
            nulls.append(f"| {which} | {name} | {len(own)} | {alarms} | {chance:.2f} | {other} |")
    return "\n".join([*lines, "", *nulls, "", *_curves(found)])


def _curves(found: list[dict[str, Any]]) -> list[str]:
    """Return for each algorithm, rate and seeds a mask: found, by the variance alone, and the mean AUC, over models."""
    head = " | ".join(f"{models} models" for models in MODELS)
    lines = [
        f"| found / by the variance alone (mean AUC) | rate | models a mask | {head} |",
        "|" + "---|" * (3 + len(MODELS)),
    ]
    for kind in MASKS:
        own = [one for one in found if one["row"] == f"curve {kind}"]
        for rate in RATES if own else ():
            for seeds in SEEDS:
                cells = []
                for models in MODELS:
                    at = [
                        cell
                        for one in own
                        for cell in one["cells"]
                        if (cell["rate"], cell["models"], cell["seeds"]) == (rate, models, seeds)
                    ]
                    hits, by = sum(cell["found"] for cell in at), sum(cell["found_by_variance"] for cell in at)
                    auc = np.mean([cell["auc"] for cell in at]) if at else np.nan
                    cells.append(f"{hits} / {by} ({auc:.2f})" if at else "–")
                lines.append(f"| {kind}, {len(own)} studies | {rate:.0%} | {seeds} | {' | '.join(cells)} |")
    return lines


ROWS = [*MASKS, *(f"curve {kind}" for kind in MASKS)]
BATTERY = Battery("A difference in spread alone.", ROWS, 30, Path("spread.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
