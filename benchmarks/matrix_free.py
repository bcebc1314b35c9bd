"""Measure a comparison by differentiated trainings beside one by regression: the same planted difference, cost of each.

    OMP_NUM_THREADS=1 python -m benchmarks.matrix_free [--study digits|fashion] [--trainings 1 4 8] [--probes 16]
        [--models 500 1000 2000] [--network mlp|cnn] [--rate 0.1] [--train 1000]

Rules, written before it ran. A trains as shipped, B erases the corner of the block that most images of one class carry:
digits_watermark (1,000 training examples, 797 targets, the block on 70 % of the eights) or fashion_watermark (1,000
and 1,000 as shipped; `--train` for others; on half of the shirts). Directions by ``directions_of_trainings`` as
`comparison.method=matrix_free` finds them: below 6 trainings of each residual directions in a basis of the same
trainings, from 6 on the contrast with signs flipped, in a basis of two others. AUC: area under the ROC curve of the
projections of the class's test images, with against without the block, whichever sign: of the first direction on A's
side, and the largest of the first three of A's side. p: of the first four of all, with their sides. One draw of
weightings a line. Null: A against A with other trainings.

- By regression: `comparison.method=contrast` from as many models of each on the same masks, 40 draws of its null.
- CPU seconds of this process, one thread, everything from trainings to directions; equivalents: in subset models of
  A of the same network by the fastest engine on this machine, mean of 60, measured in this run. What libraries take at
  their first call is spent before either is measured.
"""

import argparse
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import process_time

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.handful import Two
from benchmarks.metagradients import NETWORKS, STUDIES
from modeldiff_core.comparison.contrast import contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import null_sample, sequential_p
from modeldiff_core.comparison.differences import naming_differences
from modeldiff_core.comparison.training_directions import directions_of_trainings, repeatability
from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.data import Dataset
from modeldiff_core.metagradients.basis import missed_by_others
from modeldiff_core.stages.handful import BASIS_TRAININGS
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.augmentations import Erase
from modeldiff_core.training.devices import fast_arithmetic
from modeldiff_core.training.sgd import Sgd

COMPONENTS, TOP = 8, 12
DRAWS = 40


@dataclass(frozen=True)
class Pair:
    """A data set and the trainings of A and B on it; `label` is the class that carries the block."""

    data: Dataset
    a: Task
    b: Task
    label: int

    def area(self, projections: np.ndarray) -> float:
        """Return the AUC of a direction for the block, whichever sign."""
        among = self.data.test.labels == self.label
        area = roc_auc_score(self.data.test.metadata["planted"][among], projections[among])
        return max(area, 1 - area)


def pair_of(study: str, network: str, rate: float, train: int | None) -> Pair:
    """Return a study with one network."""
    asked, corner = STUDIES[study]
    asked = {**asked, **({"n_train": train} if train else {})}
    data = load_dataset(DatasetConfig.model_validate(asked))
    recipe = Sgd(network=NETWORKS[network], learning_rate=rate)
    erased = replace(recipe, augmentations=(Erase(**corner),))
    a, b = (Task(one, 1, data.train, data.test, len(data.classes)) for one in (recipe, erased))
    plant = asked["plant"]
    assert isinstance(plant, dict)
    return Pair(data, a, b, int(plant["label"]))


def equivalent(pair: Pair) -> float:
    """Return the CPU seconds of one subset model of A by the fastest engine."""
    masks = SubsetSampler(len(pair.data.train), 0.5, 1).masks(range(60))
    train_subset_models(pair.a, masks[:2], range(2), Execution())
    began = process_time()
    train_subset_models(pair.a, masks, range(60), Execution())
    return (process_time() - began) / 60


def products(pair: Pair, tasks: tuple[Task, Task], firsts: tuple[int, int], count: int, probes: int) -> np.ndarray:
    """Return J·V of the trainings of both sides [2, trainings, targets, q], and print what the basis misses."""
    two = Two(tasks, probes, firsts)
    basis = two.basis(count)
    found = two.products(basis, count)
    same = ", ".join(f"{repeatability(x):.2f}" for x in found)
    missed = missed_by_others(basis.pooled)
    print(f"  a product more lies to {missed:.0%} outside of the basis; trainings have in common (A, B): {same}")
    return found


def warm(pair: Pair) -> None:
    """Go through all of it once with few probes."""
    two = Two((pair.a, pair.b), 4)
    directions_of_trainings(*two.products(two.basis(1), 1), 2, top=TOP)


def by_trainings(pair: Pair, counts: Iterable[int], probes: int, unit: float, null: bool) -> None:
    """Print what differentiated trainings find, and for A against itself with other trainings."""
    for count in counts:
        began = process_time()
        sides, firsts = ((pair.a, pair.a), (0, 1000)) if null else ((pair.a, pair.b), (0, 0))
        a, b = products(pair, sides, firsts, count, probes)
        found = directions_of_trainings(a, b, COMPONENTS, top=TOP)
        spent = process_time() - began
        own = [one for one in found.directions if one.side == "a-b"]
        areas = [pair.area(one.projections) for one in own[:3]]
        p = ", ".join(f"{one.side} {one.p:.3f}" for one in found.directions[:4])
        others = BASIS_TRAININGS if count >= LEAST_TESTED else 0
        made = 2 * (count + others), 2 * (others or count) * probes, 4 * count * probes
        name = "A against A" if null else "trainings"
        print(
            f"| {name}, {count} of each | {areas[0] if areas else np.nan:.3f} | {max(areas, default=np.nan):.3f} | {p} "
            f"| {made[0]} trainings, {made[1]} reverse, {made[2]} forward | {spent:.1f} | {spent / unit:.0f} |",
            flush=True,
        )


def by_regression(pair: Pair, counts: Iterable[int], unit: float) -> None:
    """Print what the contrast of subset models finds."""
    sizes = sorted(counts)
    if not sizes:
        return
    masks = SubsetSampler(len(pair.data.train), 0.5, 0).masks(range(sizes[-1]))
    began = process_time()
    a, b = (train_subset_models(task, masks, range(sizes[-1]), Execution()).margins for task in (pair.a, pair.b))
    trained = process_time() - began
    for models in sizes:
        began = process_time()
        sample = sample_of((masks[:models], masks[:models]), (a[:models], b[:models]))
        fits = sample.fits()
        contrast = contrast_of(sample, fits)
        first = find_contrast(contrast, fits, 1)
        largest = null_sample(sample, contrast, first.steady).largest(range(DRAWS), 0)
        named = naming_differences(contrast, sample, fits, COMPONENTS, 0)
        found = find_contrast(named, fits, COMPONENTS)
        spent = trained * models / sizes[-1] + process_time() - began
        areas = [pair.area(column) for column in found.projections.T[:3]]
        p = sequential_p(float(first.eigenvalues[0]), largest)
        print(
            f"| regression, {models:,} models of each, {named.differences} named | {areas[0]:.3f} | {max(areas):.3f} "
            f"| {p:.3f} | {2 * models:,} models | {spent:.1f} | {spent / unit:.0f} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=STUDIES, default="digits")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--train", type=int)
    parser.add_argument("--trainings", nargs="*", type=int, default=[1, 4, 8])
    parser.add_argument("--null", nargs="*", type=int, default=[])
    parser.add_argument("--probes", type=int, default=16)
    parser.add_argument("--models", nargs="*", type=int, default=[500, 1000, 2000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with fast_arithmetic(torch.device("cpu")):
        pair = pair_of(options.study, options.network, options.rate, options.train)
        unit = equivalent(pair)
        machine = platform.processor() or platform.machine()
        print(f"{datetime.now(UTC):%Y-%m-%d} · {machine} · torch {torch.__version__} · {options}")
        print(f"{len(pair.data.train):,} training examples; one equivalent is {1000 * unit:.2f} ms")
        print(
            "| | AUC, first A−B direction | best of the first three | p, strongest first | made | CPU s | equivalents |"
        )
        print("|---|---|---|---|---|---|---|")
        if options.trainings or options.null:
            warm(pair)
        by_trainings(pair, options.trainings, options.probes, unit, False)
        by_trainings(pair, options.null, options.probes, unit, True)
        by_regression(pair, options.models, unit)


if __name__ == "__main__":
    main()
