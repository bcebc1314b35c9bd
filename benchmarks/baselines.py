"""Hold the platform beside the original package's way and the paper's baselines, on the same checkpoints.

    OMP_NUM_THREADS=1 python -m benchmarks.baselines [--checkpoints 20] [--models 2000] [--trainings 8] [--quick]

The rules, fixed before any result. Study: digits_watermark as shipped (1,000 training examples, 797 targets, a block on
70 % of the eights; A trains on them as they are, B erases that corner). Checkpoints: the same full-data models
0..checkpoints − 1 of A and of B for everything that looks at networks. Ways:

- *subset models, contrast*: `--models` models of each on the same masks, `comparison.method=contrast` (ours);
- *subset models, published*: the same margins, lasso datamodels, rows of length 1, residuals, centered PCA (the paper);
- *TRAK, as packaged*: scores by the package `traker` from all checkpoints, residuals without normalized rows, and
  scikit-learn's centered PCA: what the original package's `residual_pca` computes; *TRAK, rows of length 1*: as in its
  notebooks;
- *metagradients, contrast*: the very trainings of the first 2 + `--trainings` checkpoints of each, differentiated at
  weight 1 (their outputs are compared with the checkpoints' first); a basis of the first two, 16 probes of each;
- *penultimate layers, residual*: what a cross-fitted ridge map of B's features does not give of A's, its centered PCA;
  one pair of checkpoints at a time, and the features of all checkpoints side by side;
- *CKA*, *CCA* of the penultimate layers over all targets: every pair of checkpoints.

Told of each way that names directions: the AUC with which the projections of the test images of the class tell those
with the block from those without, whichever sign: of the first direction and the best of the first three; the same of
the weights on training images; p where the way has a test; CPU seconds of this process, one thread, with those of the
trainings that it needs. *By chance*: the same way and numbers with A against A with other seeds (other checkpoints,
other trainings, other subset models on the same masks); what it scores there is what the choice of a sign and of three
directions gives. A way *finds* the block where its first direction's AUC is .8 or more and, if it has a test, p ≤ .05.
Of similarities: mean over pairs of A with B, of A with A and of B with B; p from 999 exchanges of all checkpoints'
names, of the mean within less the mean between. *In common*: ‖U·Vᵀ‖²/3 for the first three directions over training
examples of two ways, 3/1,000 by chance.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import process_time

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from benchmarks.matrix_free import Pair, pair_of
from modeldiff_core.comparison import linear_cka, mean_cca, residual_pca, residual_representation
from modeldiff_core.comparison.contrast import contrast_of, find_contrast, sample_of
from modeldiff_core.comparison.contrast_null import null_sample, sequential_p
from modeldiff_core.comparison.training_directions import directions_of_trainings
from modeldiff_core.datamodels import fit_lasso
from modeldiff_core.datamodels.trak import Trak
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.algorithms import NUMBERS
from modeldiff_core.metagradients.basis import common_basis, random_weightings
from modeldiff_core.statistics import p_values
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Differentiable, Execution, Task, TrainedModels, train_ensemble, train_subset_models
from modeldiff_core.training.devices import fast_arithmetic
from modeldiff_core.training.shards import ENSEMBLE_OFFSET

COMPONENTS, DRAWS, EXCHANGES, PROBES, BASIS, BATCH = 3, 99, 999, 16, 2, 32
OTHER_SEED = 1001
"""Of the algorithm that is A with other seeds, for its subset models."""
LEAST, LEVEL = 0.8, 0.05


@dataclass(frozen=True)
class Directions:
    """What a way names: projections of targets and weights of training examples, for the first three directions."""

    targets: Float[np.ndarray, "targets components"]
    train: Float[np.ndarray, "components train"]
    p: float = float("nan")


@dataclass(frozen=True)
class Side:
    """An algorithm's task, its full-data models and their penultimate layers.

    Attributes:
        task: Of training and measuring.
        first: Number of its first checkpoint.
        checkpoints: The trained models.
        logits: Their outputs on the targets.
        layers: Of training images, then of targets [models, images, features].
        seconds: CPU seconds of their training.
    """

    task: Task
    first: int
    checkpoints: TrainedModels
    logits: Float[np.ndarray, "models targets classes"]
    layers: Float[np.ndarray, "models images features"]
    seconds: float


@dataclass
class Clock:
    """CPU seconds."""

    seconds: float = field(default=0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the CPU seconds of what is done inside."""
        began = process_time()
        yield
        self.seconds += process_time() - began


def side_of(task: Task, first: int, count: int) -> Side:
    """Train full-data models and take their penultimate layers."""
    clock = Clock()
    with clock.running():
        trained, logits = train_ensemble(task, range(first, first + count), Execution())
    images = np.concatenate([task.train.images, task.targets.images])
    return Side(task, first, trained, logits, penultimate(task, trained, images), clock.seconds)


def penultimate(task: Task, trained: TrainedModels, images: np.ndarray) -> Float[np.ndarray, "models images features"]:
    """Return what each network's head is given."""
    assert isinstance(task.algorithm, Differentiable)
    height, width, channels = images.shape[1:]
    models = task.algorithm.torch_models(trained.weights(), (height, width, channels), task.n_classes, Execution())
    found: list[np.ndarray] = []
    head = models.module.get_submodule(str(models.module.head_name))
    hook = head.register_forward_pre_hook(lambda _, given: found.append(given[0].detach().numpy()))
    with torch.no_grad():
        for state, inputs in zip(models.states, models.inputs, strict=True):
            models.module.load_state_dict(state)
            models.module(inputs(images, slice(None)))
    hook.remove()
    return np.stack(found)


def subset_contrast(a: Task, b: Task, models: int) -> tuple[Directions, Directions, float, float]:
    """Return what the contrast and the published way find from the same subset models, and their CPU seconds."""
    training, contrasting, published = Clock(), Clock(), Clock()
    masks = SubsetSampler(len(a.train), 0.5, 0).masks(range(models))
    with training.running():
        y_a, y_b = (train_subset_models(task, masks, range(models), Execution()).margins for task in (a, b))
    with contrasting.running():
        sample = sample_of((masks, masks), (y_a, y_b))
        fits = sample.fits()
        contrast = contrast_of(sample, fits)
        found = find_contrast(contrast, fits, COMPONENTS)
        largest = null_sample(sample, contrast, found.steady).largest(range(DRAWS), 0)
        ours = Directions(found.projections, found.directions, sequential_p(float(found.eigenvalues[0]), largest))
    with published.running():
        theta_a, theta_b = (fit_lasso(masks, y).weights for y in (y_a, y_b))
        pca = residual_pca(theta_a, theta_b, COMPONENTS, normalize=True)
        theirs = Directions(pca.projections, pca.directions)
    return ours, theirs, training.seconds + contrasting.seconds, training.seconds + published.seconds


def packaged_pca(a: Float[np.ndarray, "targets train"], b: Float[np.ndarray, "targets train"]) -> Directions:
    """Return scikit-learn's PCA of a − (⟨a, b⟩/⟨b, b⟩)·b, row by row: the original package's computation."""
    share = (a * b).sum(1, keepdims=True) / np.square(b).sum(1, keepdims=True)
    pca = PCA(n_components=COMPONENTS, random_state=0)
    return Directions(pca.fit_transform(a - share * b), pca.components_)


def trak(a: Side, b: Side) -> tuple[Directions, Directions, float]:
    """Return what TRAK's scores give as packaged and with rows of length 1, and the CPU seconds of either."""
    clock = Clock()
    with clock.running():
        scores = [
            Trak().attribute(side.task, [side.checkpoints.weights()]).weights.astype(np.float64) for side in (a, b)
        ]
        packaged = packaged_pca(scores[0], scores[1])
    unit = [score / np.linalg.norm(score, axis=1, keepdims=True) for score in scores]
    return packaged, packaged_pca(unit[0], unit[1]), clock.seconds + a.seconds + b.seconds


def metagradients(a: Side, b: Side, count: int) -> tuple[Directions, float, float]:
    """Return what the checkpoints' own trainings give when differentiated, CPU seconds, and how far outputs differ."""
    clock, apart = Clock(), 0.0
    with clock.running():
        weightings = random_weightings(2 * PROBES, len(a.task.targets), 0).split(PROBES)
        rows, kept = [], {}
        for side, psi in zip((a, b), weightings, strict=True):
            for number in range(BASIS):
                trajectory = _differentiated(side, number)
                rows.append(reverse_products(trajectory, psi).double())
        pooled = torch.cat([sum(rows[:BASIS], torch.zeros(())), sum(rows[BASIS:], torch.zeros(()))])
        vectors = common_basis(pooled, pooled[:1]).vectors.T.float()
        for which, side in enumerate((a, b)):
            kept[which] = []
            for number in range(BASIS, BASIS + count):
                trajectory = _differentiated(side, number)
                apart = max(apart, _apart(trajectory, side, number))
                parts = [forward_products(trajectory, part) for part in vectors.split(BATCH)]
                kept[which].append(torch.cat(parts).T.numpy())
        found = directions_of_trainings(np.stack(kept[0]), np.stack(kept[1]), COMPONENTS, top=12)
        first = found.directions[:COMPONENTS]
        train = np.stack([vectors.T.numpy() @ one.coefficients for one in first])
        targets = np.stack([one.projections for one in first], axis=1)
    return Directions(targets, train, first[0].p), clock.seconds, apart


def _differentiated(side: Side, number: int) -> Trajectory:
    """Run the training of a checkpoint, to be differentiated."""
    point = Point.everywhere(len(side.task.train), 1.0)
    process = process_of(side.task, point, ENSEMBLE_OFFSET - NUMBERS + side.first + number, Execution())
    return Trajectory(process, process.steps)


def _apart(trajectory: Trajectory, side: Side, number: int) -> float:
    """Return the largest difference of a training's margins from its checkpoint's."""
    outputs = trajectory.process.outputs(trajectory.last, slice(0, len(side.task.targets))).detach().numpy()
    logits = side.logits[number].astype(np.float64)
    own = logits[np.arange(len(logits)), side.task.targets.labels]
    others = logits.copy()
    others[np.arange(len(logits)), side.task.targets.labels] = -np.inf
    return float(np.abs(outputs - (own - others.max(1))).max())


def penultimate_residual(a: Side, b: Side, together: bool) -> tuple[list[Directions], float]:
    """Return residual representations of each pair of checkpoints, or of all side by side, and CPU seconds."""
    clock, n = Clock(), len(a.task.train)
    with clock.running():
        pairs = list(zip(a.layers, b.layers, strict=True))
        if together:
            pairs = [(np.concatenate(a.layers, 1), np.concatenate(b.layers, 1))]
        found = [residual_representation(x, y, COMPONENTS).projections for x, y in pairs]
    return [Directions(one[n:], one[:n].T) for one in found], clock.seconds + a.seconds + b.seconds


def similarities(a: Side, b: Side, measure: Callable[[np.ndarray, np.ndarray], float]) -> str:
    """Return mean similarities within and between, with the p of their difference, as cells of a row."""
    n, count = len(a.task.train), len(a.layers)
    layers = [layer[n:] for side in (a, b) for layer in side.layers]
    matrix = np.array([[measure(x, y) if i < j else 0.0 for j, y in enumerate(layers)] for i, x in enumerate(layers)])
    matrix += matrix.T
    apart = ~np.eye(2 * count, dtype=bool)

    def means(first: np.ndarray) -> tuple[float, float, float]:
        inside, outside = np.outer(first, first) & apart, np.outer(~first, ~first) & apart
        return matrix[np.outer(first, ~first)].mean(), matrix[inside].mean(), matrix[outside].mean()

    first = np.arange(2 * count) < count
    between, of_a, of_b = means(first)
    rng = np.random.default_rng(0)
    null = []
    for _ in range(EXCHANGES):
        x, y, z = means(rng.permutation(first))
        null.append((y + z) / 2 - x)
    p = p_values(np.array([(of_a + of_b) / 2 - between]), np.array(null))[0]
    return f"{between:.4f} | {of_a:.4f} | {of_b:.4f} | {p:.3f}"


def areas(pair: Pair, found: Directions) -> tuple[float, float, float, float]:
    """Return AUCs, whichever sign: of targets for the first direction and the best, of training examples likewise."""
    cells = []
    for part, values in ((pair.data.test, found.targets.T), (pair.data.train, found.train)):
        among = part.labels == pair.label
        each = [roc_auc_score(part.metadata["planted"][among], one[among]) for one in values]
        each = [max(one, 1 - one) for one in each]
        cells += [each[0], max(each)]
    return cells[0], cells[1], cells[2], cells[3]


def in_common(x: Directions, y: Directions) -> float:
    """Return ‖U·Vᵀ‖²/3 with orthonormal rows U, V that span the directions over training examples."""
    u, v = (np.linalg.qr(one.train.T.astype(np.float64))[0] for one in (x, y))
    return float(np.square(u.T @ v).sum() / u.shape[1])


@dataclass(frozen=True)
class Row:
    """A way, what it found and what it took."""

    name: str
    found: list[Directions]
    seconds: float
    over_examples: bool = True


def ways(a: Side, b: Side, other: Task, models: int, trainings: int) -> list[Row]:
    """Carry out every way that names directions; other: B, or A with other seeds, for subset models."""
    ours, published, first, second = subset_contrast(a.task, other, models)
    packaged, unit, spent = trak(a, b)
    products, took, apart = metagradients(a, b, trainings)
    print(f"outputs of differentiated trainings and of their checkpoints differ by at most {apart:.1e}", flush=True)
    apiece, for_pairs = penultimate_residual(a, b, together=False)
    together, for_all = penultimate_residual(a, b, together=True)
    return [
        Row(f"subset models, contrast ({models:,} of each)", [ours], first),
        Row(f"subset models, published ({models:,} of each)", [published], second),
        Row(f"TRAK, as packaged ({len(a.layers)} checkpoints)", [packaged], spent),
        Row(f"TRAK, rows of length 1 ({len(a.layers)} checkpoints)", [unit], spent),
        Row(f"metagradients, contrast ({trainings} + {BASIS} of each)", [products], took),
        Row(f"penultimate, residual, mean of {len(apiece)} pairs", apiece, for_pairs, over_examples=False),
        Row(f"penultimate, residual, {len(a.layers)} side by side", together, for_all, over_examples=False),
    ]


def cells(pair: Pair, row: Row) -> list[float]:
    """Return the mean AUCs of a row."""
    return [float(x) for x in np.mean([areas(pair, one) for one in row.found], axis=0)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=20)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--trainings", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it runs")
    given = parser.parse_args()
    count, models, trainings = (8, 200, 6) if given.quick else (given.checkpoints, given.models, given.trainings)
    torch.set_num_threads(1)
    with fast_arithmetic(torch.device("cpu")):
        pair = pair_of("digits", "mlp", 0.1, None)
        machine = platform.processor() or platform.machine()
        print(f"{datetime.now(UTC):%Y-%m-%d} · {machine} · torch {torch.__version__} · one thread · {given}")
        a, b, again = side_of(pair.a, 0, count), side_of(pair.b, 0, count), side_of(pair.a, count, count)
        seeded = Task(pair.a.algorithm, OTHER_SEED, pair.a.train, pair.a.targets, pair.a.n_classes)
        rows, null = ways(a, b, pair.b, models, trainings), ways(a, again, seeded, models, trainings)
        print("| way | AUC, first | best of three | training images, first | best | p | finds it | CPU s |")
        print("|---|---|---|---|---|---|---|---|")
        for row in rows:
            first, best, own, own_best = cells(pair, row)
            p = row.found[0].p
            finds = "yes" if first >= LEAST and not p > LEVEL else "no"
            told = "no test" if np.isnan(p) else f"{p:.3f}"
            print(
                f"| {row.name} | {first:.3f} | {best:.3f} | {own:.3f} | {own_best:.3f} | {told} | {finds} "
                f"| {row.seconds:.1f} |"
            )
        print("\n| by chance: A against A | AUC, first | best of three | training images, first | best | p |")
        print("|---|---|---|---|---|---|")
        for row in null:
            p = row.found[0].p
            numbers = " | ".join(f"{value:.3f}" for value in cells(pair, row))
            print(f"| {row.name} | {numbers} | {'no test' if np.isnan(p) else f'{p:.3f}'} |")
        print("\n| similarity | A with B | A with A | B with B | p | A with A′, for comparison | p |")
        print("|---|---|---|---|---|---|---|")
        for name, measure in (("CKA", linear_cka), ("CCA", mean_cca)):
            chance = similarities(a, again, measure).split(" | ")
            print(f"| {name} | {similarities(a, b, measure)} | {chance[0]} | {chance[-1]} |")
        named = [row for row in rows if row.over_examples]
        print("\n| in common | " + " | ".join(row.name.partition(" (")[0] for row in named) + " |")
        print("|---|" + "---|" * len(named))
        for row in named:
            shares = " | ".join(f"{in_common(row.found[0], other.found[0]):.2f}" for other in named)
            print(f"| {row.name.partition(' (')[0]} | {shares} |")


if __name__ == "__main__":
    main()
