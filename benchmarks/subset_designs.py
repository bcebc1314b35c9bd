"""Measure what other subset designs give at equal cost: complement pairs of masks, and pairs that share their seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.subset_designs [--models 500 1000 2000] [--repeats 5]

Rules, written before the run. Data: digits_watermark as shipped (1,000 training examples, 797 targets), algorithm A,
the network and settings as shipped, half of the examples in each subset.

- independent: one random half a model, the design of every shipped study.
- complements: models 2i and 2i + 1 are trained on a random half and on the other half, each with its own seed.
- shared: the same, and both models of a pair have one seed: the same first weights, and batches whose order is drawn
  over all examples, those that are absent left out. What the seed adds to both margins alike then cancels in the
  regression, since masks of a pair lie opposite each other around their mean.

Score: mean over targets of the Spearman correlation of predicted and true margins over 200 independent masks that no
design has, true margins being the mean of two models of other seeds each. Datamodels: ridge with its default penalties,
and the lasso with its default settings for the first 100 targets. Every repeat draws masks and seeds anew; a
difference is told with the standard error of its mean over repeats, in which the designs are paired by the held-out
masks alone. A design is worth offering if its score is higher by more than two standard errors for both fits.
"""

import argparse
import sys
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.datamodels import fit_lasso, fit_ridge
from modeldiff_core.designs import ComplementPairs, Design, FixedSize
from modeldiff_core.identity import generator
from modeldiff_core.statistics import rank_correlation
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.training import Execution, Task, cohort
from modeldiff_core.training.settings import Network, Recipe
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.training.shards import output_of
from modeldiff_core.training.target_logits import target_logits

DESIGNS = "independent", "complements", "shared"
FEW = 100
"""Targets that the lasso is fitted for."""
HELD, HELD_SEED = 200, 9_000
"""Held-out masks, and the first of the seeds of their models."""
STACK = 100
PLANT = {"label": 8, "fraction": 0.7, "seed": 0, "watermark": {"top": 0, "left": 0, "height": 3, "width": 2}}

Margins = Float[np.ndarray, "models targets"]
Masks = Bool[np.ndarray, "models train"]


def task(seed: int) -> Task:
    """Return algorithm A of digits_watermark with a seed."""
    data = load_dataset(DatasetConfig.model_validate({"kind": "digits", "plant": PLANT}))
    return Task(Sgd(network=Network("mlp", (64,)), learning_rate=0.1), seed, data.train, data.test, len(data.classes))


def trained(of: Task, masks: Masks, numbers: Sequence[int]) -> Margins:
    """Return the margins of models of these numbers, which decide their seeds, on these masks."""
    found = []
    for start in range(0, len(masks), STACK):
        part, names = masks[start : start + STACK], numbers[start : start + STACK]
        models = of.algorithm.train(of.train, of.n_classes, part, names, of.seed, Execution())
        found.append(output_of("margin", target_logits(models, of.targets, Execution()), of.targets.labels))
    return np.concatenate(found)


def order_over_all(
    recipe: Recipe,
    members: Int[np.ndarray, "models subset"],
    models: Sequence[int],
    seed: int,
    epoch: int,
    image_shape: tuple[int, int, int],
) -> tuple[Int[np.ndarray, "models subset"], Float[np.ndarray, "models subset draws"]]:
    """Return orders like those of `epoch_draws`, each an order of all examples without those that are absent."""
    assert not recipe.augmentations
    order, total = np.empty_like(members), int(members.max()) + 1
    for row, model in enumerate(models):
        drawn = generator("order of all", seed, int(model), epoch).permutation(total)
        order[row] = drawn[np.isin(drawn, members[row])]
    return order, np.zeros((*members.shape, 0), np.float32)


def one_repeat(repeat: int, counts: Sequence[int], truth: tuple[Masks, Margins]) -> None:
    """Print the scores of every design and number of models for one draw of masks and seeds."""
    of, most = task(repeat), max(counts)
    for name in DESIGNS:
        units = len(of.train)
        design: Design = FixedSize(units, 0.5, repeat) if name == "independent" else ComplementPairs(units, repeat)
        masks = design.masks(range(most))
        if name == "shared":
            with patch.object(cohort, "epoch_draws", order_over_all):
                margins = trained(of, masks, [number // 2 for number in range(most)])
        else:
            margins = trained(of, masks, range(most))
        for count in counts:
            ridge = fit_ridge(masks[:count], margins[:count])
            lasso = fit_lasso(masks[:count], margins[:count, :FEW])
            scores = [
                float(rank_correlation(truth[0] @ fit.weights.T + fit.bias, truth[1][:, : len(fit.weights)]).mean())
                for fit in (ridge, lasso)
            ]
            print(f"{repeat} {name} {count} {scores[0]:.4f} {scores[1]:.4f}", flush=True)
            found[name, count].append(scores)


found: dict[tuple[str, int], list[list[float]]] = {}


def main(arguments: Sequence[str]) -> None:
    """Print every repeat, then the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    found.update({(name, count): [] for name in DESIGNS for count in options.models})
    masks = FixedSize(len(task(0).train), 0.5, HELD_SEED).masks(range(HELD))
    truth = masks, np.mean([trained(task(HELD_SEED + k), masks, range(HELD)) for k in (0, 1)], axis=0)
    print(f"held-out margins: standard deviation {truth[1].std(axis=0).mean():.3f} over masks")
    for repeat in range(1, options.repeats + 1):
        one_repeat(repeat, options.models, truth)
    print("| design | models | ridge | lasso | ridge less independent | lasso less independent |")
    print("|---|---|---|---|---|---|")
    for (name, count), rows in found.items():
        scores, base = np.array(rows), np.array(found["independent", count])
        means, gains = scores.mean(0), scores - base
        errors = gains.std(0, ddof=1) / len(rows) ** 0.5 if len(rows) > 1 else np.full(2, np.nan)
        told = [f"{g:+.4f} ± {e:.4f}" for g, e in zip(gains.mean(0), errors, strict=True)]
        print(f"| {name} | {count:,} | {means[0]:.4f} | {means[1]:.4f} | {told[0]} | {told[1]} |")


if __name__ == "__main__":
    main(sys.argv[1:])
