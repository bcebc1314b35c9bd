"""Measure metagradients: what products cost, how well R trainings predict subset models, what they find of a plant.

    OMP_NUM_THREADS=1 python -m benchmarks.metagradients [--parts products score prior preview smoothness]
        [--trainings 1 4] [--network mlp|cnn] [--rate 0.1] [--study digits|fashion] [--models 500 2000]

Rules. Data: digits_watermark as shipped (1,000 training examples, 797 targets, the block on 70 % of the eights; B
erases the corner), or fashion_watermark (1,000 and 1,000, the block on half of the shirts), networks as shipped but
for --rate. One thread, CPU seconds of this process.

- An *equivalent* is a subset model of half the examples of the same network by the fastest engine that the platform
  has for it on this machine (compiled code where there is a compiler), mean of 100, measured in this run.
- products: a forward or a reverse product at weight 0.5, all targets, in blocks of 16, 32 and 64; the training itself.
  Adjointness |⟨ψ, Jω⟩ − ⟨Jᵀψ, ω⟩| / (|ψ||Jω|), the largest of 16 pairs.
- score: mean over targets of the Spearman correlation over 100 held-out masks of predicted and true margins, from
  forward products along the masks, averaged over the trainings. True margins: of one seed, and the mean of five. The
  ceiling is the square root of the reliability of that mean: r = mean over targets of the correlation of two seeds,
  √(5r/(1 + 4r)). Beside it ridge and lasso from --models subset models, with their CPU seconds.
- preview: 8 reverse products a side on its own trainings' sum, a common basis of 16, 16 forward products a training,
  residual PCA in the basis. AUC: area under the ROC curve of the signed projections of test eights with against
  those without the block: of the first A−B direction, and the best of the first three. Five draws of weightings.
  The way to the basis was chosen on this study (docs/log.md), so these figures are not those of a fresh one.
- prior: dense rows of the first trainings (reverse products of all targets), alone and as the prior of ridge and lasso
  from 100, 500 and 1,500 subset models: one factor a target, the rest fitted on the masks; scored as above, beside
  ridge and lasso from the same models without it.
- smoothness: of trainings 0 and 1 of A, correlation over targets of forward products with differences of whole
  trainings at two random changes each of 1 % and of 10 % of the examples, whose weight is taken away or doubled; the
  99th percentile of the products' sizes over their median; lengths of products over those of differences.
"""

import argparse
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import process_time
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import roc_auc_score

from modeldiff_core.comparison.trainings import residual_directions
from modeldiff_core.data import Dataset
from modeldiff_core.datamodels import fit_lasso, fit_ridge
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.basis import common_basis, random_weightings
from modeldiff_core.metagradients.smoothness import (
    FEW,
    MANY,
    agreement,
    changes_of_weights,
    tail,
    whole_differences,
)
from modeldiff_core.metagradients.trajectory import slots_within, state_bytes
from modeldiff_core.stages.regress import without_prior
from modeldiff_core.statistics import correlation, rank_correlation
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.augmentations import Erase
from modeldiff_core.training.devices import fast_arithmetic
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

CORNER = {"top": 0, "left": 0, "height": 3, "width": 2}
PLANT = {"label": 8, "fraction": 0.7, "seed": 0, "watermark": CORNER}
FASHION_CORNER = {"top": 0, "left": 0, "height": 4, "width": 4}
STUDIES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "digits": ({"kind": "digits", "plant": PLANT}, CORNER),
    "fashion": (
        {
            "kind": "fashion_mnist",
            "n_train": 1000,
            "n_test": 1000,
            "plant": {"label": 6, "fraction": 0.5, "seed": 0, "watermark": FASHION_CORNER},
        },
        FASHION_CORNER,
    ),
}
"""Data as shipped, and what B erases."""
NETWORKS = {"mlp": Network("mlp", (64,)), "cnn": Network("cnn", (16, 32))}
HELD_OUT, SEEDS = 100, 5
FIRST = 100_000
"""Number of the first held-out model; each seed has a thousand numbers."""
SIDE, DRAWS = 8, 5
MOST, ROWS = 1500, 64
"""Most models that a prior stands beside, and rows that are taken at once."""
STACK = 500
"""Models that are trained at a time."""
MEMORY = 2**26
"""Bytes for the states of a training."""


@dataclass(frozen=True)
class Study:
    """Two algorithms on one data set."""

    data: Dataset
    a: Task
    b: Task

    @property
    def train(self) -> int:
        """Number of training examples."""
        return len(self.data.train)

    def trajectory(self, task: Task, number: int) -> Trajectory:
        """Run training `number` at weight 0.5."""
        process = process_of(task, Point.everywhere(self.train, 0.5), number, Execution())
        return Trajectory(process, slots_within(MEMORY, state_bytes(process.initial()), process.steps))


def study_of(network: str, rate: float, study: str = "digits") -> Study:
    """Return a study of a planted block with one network."""
    asked, corner = STUDIES[study]
    data = load_dataset(DatasetConfig.model_validate(asked))
    recipe = Sgd(network=NETWORKS[network], learning_rate=rate)
    erased = replace(recipe, augmentations=(Erase(**corner),))
    a, b = (Task(one, 1, data.train, data.test, len(data.classes)) for one in (recipe, erased))
    return Study(data, a, b)


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = process_time()
    work()
    return process_time() - began


def equivalent(study: Study) -> float:
    """Return the CPU seconds of one subset model of A by the fastest engine."""
    masks = SubsetSampler(study.train, 0.5, 1).masks(range(100))
    train_subset_models(study.a, masks[:2], range(2), Execution())
    return seconds(lambda: train_subset_models(study.a, masks, range(100), Execution())) / 100


def products(study: Study, unit: float) -> None:
    """Print what products cost."""
    study.trajectory(study.a, 0).run()
    training = seconds(lambda: study.trajectory(study.a, 0).run())
    print(f"training at weight 0.5, states kept: {training:.2f} s, {training / unit:.0f} equivalents")
    trajectory = study.trajectory(study.a, 0)
    targets = len(study.data.test)
    forward_products(trajectory, torch.randn(64, study.train))
    reverse_products(trajectory, torch.randn(64, targets))
    for count in (16, 32, 64):
        directions, probes = torch.randn(count, study.train), torch.randn(count, targets)
        forward = seconds(lambda d=directions: forward_products(trajectory, d)) / count
        reverse = seconds(lambda p=probes: reverse_products(trajectory, p)) / count
        print(
            f"{count} at once: forward {1000 * forward:.1f} ms = {forward / unit:.1f} equivalents, "
            f"reverse {1000 * reverse:.1f} ms = {reverse / unit:.1f}"
        )
    directions, probes = torch.randn(4, study.train), torch.randn(4, targets)
    along, back = forward_products(trajectory, directions), reverse_products(trajectory, probes)
    gap = (probes @ along.T - back @ directions.T).abs() / (probes.norm(dim=1)[:, None] * along.norm(dim=1))
    print(f"adjointness in float32 after {trajectory.process.steps} steps: {float(gap.max()):.1e}")


def held_out(study: Study, task: Task) -> tuple[np.ndarray, Float[np.ndarray, "seeds models targets"]]:
    """Return masks that nothing is fitted on, and margins of models of several seeds on each."""
    masks = SubsetSampler(study.train, 0.5, 7).masks(range(HELD_OUT))
    rows = [range(FIRST + 1000 * seed, FIRST + 1000 * seed + HELD_OUT) for seed in range(SEEDS)]
    return masks, np.stack([train_subset_models(task, masks, models, Execution()).margins for models in rows])


def line(name: str, predicted: np.ndarray, margins: np.ndarray, cost: str) -> None:
    """Print a line of the table of scores."""
    one, mean = (rank_correlation(predicted, m.astype(float)).mean() for m in (margins[0], margins.mean(0)))
    print(f"| {name} | {one:.3f} | {mean:.3f} | {cost} |", flush=True)


def score(study: Study, trainings: Iterable[int], sizes: Sequence[int], unit: float) -> None:
    """Print how well metagradients and regressions predict held-out models of A."""
    masks, margins = held_out(study, study.a)
    pairs = [(i, j) for i in range(SEEDS) for j in range(i)]
    r = np.mean([correlation(margins[i].astype(float), margins[j].astype(float)).mean() for i, j in pairs])
    print(f"agreement of two seeds {r:.3f}; ceiling of a score: one seed {r**0.5:.3f}, ", end="")
    print(f"mean of {SEEDS} {(SEEDS * r / (1 + (SEEDS - 1) * r)) ** 0.5:.3f}")
    print("| from | one seed | mean of five | trainings, products, CPU s, equivalents |\n|---|---|---|---|")
    centered = torch.from_numpy(masks - 0.5)
    total, spent, done = np.zeros((HELD_OUT, len(study.data.test))), 0.0, 0
    for count in sorted(trainings):
        while done < count:
            began = process_time()
            total += forward_products(study.trajectory(study.a, done), centered).numpy()
            spent, done = spent + process_time() - began, done + 1
        cost = f"{count}, {HELD_OUT * count} forward, {spent:.1f}, {spent / unit:.0f}"
        line(f"metagradient, {count}", total, margins, cost)
    if not sizes:
        return
    most = max(sizes)
    known = SubsetSampler(study.train, 0.5, 0).masks(range(most))
    began = process_time()
    parts = [range(at, min(at + STACK, most)) for at in range(0, most, STACK)]
    found = np.concatenate(
        [train_subset_models(study.a, known[p.start : p.stop], p, Execution()).margins for p in parts]
    )
    spent = process_time() - began
    for models in sizes:
        for name, fit in (("ridge", fit_ridge), ("lasso", fit_lasso)):
            began = process_time()
            weights = fit(known[:models], found[:models]).weights
            took = spent * models / most + process_time() - began
            line(f"{name}, {models} models", masks @ weights.T, margins, f"{models}, 0, {took:.1f}, {took / unit:.0f}")


def prior(study: Study, trainings: Iterable[int], unit: float) -> None:
    """Print how well regressions with metagradients as their prior predict held-out models of A."""
    masks, margins = held_out(study, study.a)
    known = SubsetSampler(study.train, 0.5, 0).masks(range(MOST))
    began = process_time()
    found = train_subset_models(study.a, known, range(MOST), Execution()).margins
    trained = (process_time() - began) / MOST
    targets = len(study.data.test)
    rows, done, spent = np.zeros((targets, study.train), np.float32), 0, 0.0
    print("| from | one seed | mean of five | trainings, products, CPU s, equivalents |\n|---|---|---|---|")
    for count in (0, *sorted(trainings)):
        began = process_time()
        while done < count:
            trajectory = study.trajectory(study.a, done)
            parts = torch.eye(targets).split(ROWS)
            rows += np.concatenate([np.asarray(reverse_products(trajectory, part)) for part in parts])
            done += 1
        spent += process_time() - began
        mean = rows / max(count, 1)
        if count:
            cost = f"{count}, {count * targets} reverse, {spent:.1f}, {spent / unit:.0f}"
            line(f"rows of {count} trainings", masks @ mean.T, margins, cost)
        for models in (100, 500, MOST):
            factors, left = without_prior(known[:models], found[:models], mean)
            for name, fit in (("ridge", fit_ridge), ("lasso", fit_lasso)):
                began = process_time()
                weights = fit(known[:models], left).weights + factors[:, None] * mean
                took = spent + trained * models + process_time() - began
                cost = f"{count}, {count * targets} reverse, {took:.1f}, {took / unit:.0f}"
                line(f"{name}, {models} models, {count} trainings", masks @ weights.T, margins, cost)


def smoothness(study: Study) -> None:
    """Print whether derivatives say what a change of the training set does."""
    for number in (0, 1):
        trajectory = study.trajectory(study.a, number)
        weights = trajectory.process.weights.double().numpy()
        changes = changes_of_weights(weights, (FEW, MANY, FEW, MANY), number)
        forward = forward_products(trajectory, changes).numpy()
        differences = whole_differences(trajectory.process, changes).numpy()
        lengths = np.linalg.norm(forward, axis=1) / np.linalg.norm(differences, axis=1)
        print(
            f"training {number}: agreement at 1 %, 10 %, 1 %, 10 % {agreement(forward, differences).round(3)}, tail "
            f"{tail(forward):.1f}, lengths {lengths.round(2)}",
            flush=True,
        )


def preview(study: Study, trainings: Iterable[int], unit: float) -> None:
    """Print what A−B directions of a few trainings find of the block."""
    among = study.data.test.labels == PLANT["label"]
    planted = study.data.test.metadata["planted"][among]
    print("| trainings of each | AUC, first direction (draws) | best of three | products | CPU s | equivalents |")
    print("|---|---|---|---|---|---|")
    for count in trainings:
        first, best, spent = [], [], []
        for draw in range(DRAWS):
            began = process_time()
            projections = _previewed(study, count, draw)[among]
            spent.append(process_time() - began)
            areas = [roc_auc_score(planted, column) for column in projections.T]
            areas = [max(area, 1 - area) for area in areas]
            first.append(areas[0])
            best.append(max(areas))
        each = " ".join(f"{area:.3f}" for area in first)
        made = f"{2 * SIDE * count} reverse, {4 * SIDE * count} forward"
        took = float(np.mean(spent))
        found = f"{np.mean(first):.3f} ({each}) | {np.mean(best):.3f}"
        print(f"| {count} | {found} | {made} | {took:.1f} | {took / unit:.0f} |", flush=True)


def _previewed(study: Study, count: int, draw: int) -> Float[np.ndarray, "targets components"]:
    """Return the targets' projections on the first three A−B directions."""
    sides = [[study.trajectory(task, number) for number in range(count)] for task in (study.a, study.b)]
    weightings = random_weightings(2 * SIDE, len(study.data.test), draw).split(SIDE)
    pooled = [sum(reverse_products(one, w) for one in side) for side, w in zip(sides, weightings, strict=True)]
    rows = torch.cat([torch.as_tensor(part) for part in pooled])
    vectors = common_basis(rows, rows[:1]).vectors.T
    a, b = (
        np.mean([forward_products(one, vectors).numpy() for one in side], axis=0).T.astype(np.float64) for side in sides
    )
    return residual_directions(a, b, 3)[1]


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=["products", "score", "preview"])
    parser.add_argument("--trainings", nargs="*", type=int, default=[1, 4])
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--study", choices=STUDIES, default="digits")
    parser.add_argument("--models", nargs="*", type=int, default=[500, 2000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = study_of(options.network, options.rate, options.study)
    with fast_arithmetic(torch.device("cpu")):
        unit = equivalent(study)
        print(
            f"{datetime.now(UTC):%Y-%m-%d} · {platform.processor() or platform.machine()} · torch {torch.__version__}"
        )
        print(f"{options.study}, {options.network}, peak rate {options.rate}: one equivalent is {1000 * unit:.2f} ms")
        if "products" in options.parts:
            products(study, unit)
        if "score" in options.parts:
            score(study, options.trainings, options.models, unit)
        if "prior" in options.parts:
            prior(study, options.trainings, unit)
        if "smoothness" in options.parts:
            smoothness(study)
        if "preview" in options.parts:
            preview(study, options.trainings, unit)


if __name__ == "__main__":
    main()
