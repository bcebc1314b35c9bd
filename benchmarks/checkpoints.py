"""Measure comparisons from checkpoints alone: a planted difference found, and false alarms where there is none.

    OMP_NUM_THREADS=1 python -m benchmarks.checkpoints [--estimator ekfac|trak] [--parts planted null] [--draws 10]
        [--null 100] [--pool 60] [--checkpoints 10]

Rules, written before it ran. Data: digits_watermark as shipped (1,000 training examples, all 797 test images; a block
in the corner of 70 % of the eights). A trains the MLP as shipped, B the same while the corner is erased in training;
every model is trained on all data, and only its weights are used. Settings of `checkpoints` as shipped (basis 32;
EK-FAC with damping 1; TRAK with a ridge of damping 1 in 500 dimensions). They were chosen on models of other seeds
(100000 and up, 200000 and up), which this script does not use. A first run, on models 0 to 99 of each, was stopped
after its ten draws: rows were divided by their sizes under A and B, which is not what had been chosen (docs/log.md).
This one uses other models. TRAK was measured before without a ridge, in 125 dimensions, on models 5000, 6000 and 7000
and up; the ridge was chosen on models 300000 and up, and TRAK with it is judged on models 15000, 16000, 17000 and up.

- Planted: each draw takes 10 models of A and 10 of B that no other draw has, of different seeds. AUC: area under the
  ROC curve of the projections of the test eights, with against without the block, whichever sign, on the first
  direction, whichever side it lies on; beside it the best of the first three. Means with 95 % intervals over draws by
  Student's t. Goal: 0.9. p: of the first direction.
- Null: A against A. 60 further models of A are trained; each study takes two groups of 10 of them at random that
  have none in common. Studies share models, so they are not independent of each other. An alarm is a smallest p of 0.05
  or less. Goal: at most 10 in 100.
- Attributions of each model are computed once. CPU seconds of this process, one thread.
"""

import argparse
import platform
from datetime import UTC, datetime
from time import process_time

import numpy as np
import torch

from benchmarks.matrix_free import Pair, pair_of
from modeldiff_core.comparison.training_directions import SidedDirections
from modeldiff_core.datamodels.ekfac import Labeled, ekfac_attributions
from modeldiff_core.datamodels.trak import DampedTrak
from modeldiff_core.experiments.checkpoints.compared import Matrices, directions_of_checkpoints
from modeldiff_core.experiments.checkpoints.settings import CheckpointsStudy, EstimatorConfig
from modeldiff_core.experiments.featured.intervals import interval_of, words
from modeldiff_core.identity import generator
from modeldiff_core.training import Execution, Task
from modeldiff_core.training.devices import fast_arithmetic
from modeldiff_core.training.shards import train_ensemble

BASIS = CheckpointsStudy.model_fields["basis"].default
COMPONENTS = CheckpointsStudy.model_fields["components"].default
TOP, LEVEL = 12, 0.05
FIRST = {"ekfac": {"a": 5000, "b": 6000, "null": 7000}, "trak": {"a": 15000, "b": 16000, "null": 17000}}
"""Numbers of the first models for either estimator, which decide their seeds."""


def attributed(pair: Pair, task: Task, models: range, estimator: EstimatorConfig) -> list[np.ndarray]:
    """Return the attributions of full-data models of these numbers, one matrix [targets, train] each."""
    trained, _ = train_ensemble(task, models, Execution())
    weights = trained.weights()
    if estimator.kind == "trak":
        rows = ({name: value[row : row + 1] for name, value in weights.items()} for row in range(len(models)))
        trak = DampedTrak(estimator.dimensions, damping=estimator.damping)
        return [trak.attribute(task, [one]).weights for one in rows]
    height, width, channels = pair.data.image_shape
    algorithm = task.algorithm
    found = algorithm.torch_models(weights, (height, width, channels), task.n_classes, Execution())  # type: ignore[attr-defined]
    out = []
    for state, inputs in zip(found.states, found.inputs, strict=True):
        parts = [
            Labeled(lambda rows, x=one.images, of=inputs: of(x, rows), torch.from_numpy(one.labels).long())
            for one in (pair.data.train, pair.data.test)
        ]
        out.append(ekfac_attributions(found.module, state, parts[0], parts[1], estimator.damping))
    return out


def directions(a: list[np.ndarray], b: list[np.ndarray]) -> SidedDirections:
    """Return the directions of two groups."""
    sides = a, b
    read = Matrices(len(a), lambda side, number: sides[side][number])
    return directions_of_checkpoints(read, BASIS, COMPONENTS, top=TOP).sided


def planted(pair: Pair, estimator: EstimatorConfig, draws: int, many: int) -> None:
    """Print how well the planted difference is found in each draw, and the means."""
    began = process_time()
    firsts, bests = [], []
    for draw in range(draws):
        groups = []
        for side, task in (("a", pair.a), ("b", pair.b)):
            first = FIRST[estimator.kind][side] + draw * many
            groups.append(attributed(pair, task, range(first, first + many), estimator))
        found = directions(groups[0], groups[1])
        areas = [pair.area(one.projections) for one in found.directions[:3]]
        firsts.append(areas[0])
        bests.append(max(areas))
        first = found.directions[0]
        print(f"| {draw} | {areas[0]:.3f} | {max(areas):.3f} | {first.p:.4f} | {first.side} |", flush=True)
    spent = (process_time() - began) / (2 * draws * many)
    print(f"\nFirst direction: {words(interval_of(firsts))}; best of three: {words(interval_of(bests))}")
    print(f"{spent:.2f} CPU s a checkpoint, its training and its part of the directions included\n", flush=True)


def null(pair: Pair, estimator: EstimatorConfig, studies: int, pool: int, many: int) -> None:
    """Print how many studies of A against A end with an alarm."""
    began, start = process_time(), FIRST[estimator.kind]["null"]
    made = attributed(pair, pair.a, range(start, start + pool), estimator)
    smallest = []
    for study in range(studies):
        order = generator("null of checkpoints", study).permutation(pool)
        groups = order[:many], order[many : 2 * many]
        found = directions(*([made[at] for at in group] for group in groups))
        smallest.append(min(one.p for one in found.directions))
    alarms = int((np.array(smallest) <= LEVEL).sum())
    quartiles = ", ".join(f"{value:.2f}" for value in np.quantile(smallest, [0.25, 0.5, 0.75]))
    print(f"A against A: {alarms} alarms in {studies} studies, {many} of each from {pool} models")
    print(f"Quartiles of the smallest p: {quartiles}; {process_time() - began:.0f} CPU s\n", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimator", choices=["ekfac", "trak"], default="ekfac")
    parser.add_argument("--parts", nargs="+", choices=["planted", "null"], default=["planted", "null"])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--null", type=int, default=100)
    parser.add_argument("--pool", type=int, default=60)
    parser.add_argument("--checkpoints", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    estimator = EstimatorConfig(kind=options.estimator)
    with fast_arithmetic(torch.device("cpu")):
        pair = pair_of("digits", "mlp", 0.1, None)
        machine = platform.processor() or platform.machine()
        print(f"{datetime.now(UTC):%Y-%m-%d} · {machine} · torch {torch.__version__} · {options}\n")
        if "planted" in options.parts:
            print("| draw | AUC, first direction | best of three | p | side |\n|---|---|---|---|---|")
            planted(pair, estimator, options.draws, options.checkpoints)
        if "null" in options.parts:
            null(pair, estimator, options.null, options.pool, options.checkpoints)


if __name__ == "__main__":
    main()
