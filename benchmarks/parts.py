"""Print how much two leading directions of one trained difference have of their variances on the same test images.

    OMP_NUM_THREADS=1 python -m benchmarks.parts [--models 700 2000] [--kinds KIND ...] [--seed 700]

One difference of two trained algorithms shows in several directions, its parts, and the more of them the more models
there are. comparison.differences tells them from differences by ``shared_targets``. This prints it where one difference
is planted, at slopes outside three directions, and how many differences are named: digits_watermark with its MLP, and
kinds of the battery of planted differences (benchmarks.planted) on digits, 800 models of each. Nothing is graded.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.matrix_free import pair_of
from benchmarks.planted import MODELS, RECIPES, margins
from benchmarks.planted_kinds import KINDS, SMALL, sample
from modeldiff_core.comparison.contrast import centered, contrast_of, sample_of
from modeldiff_core.comparison.differences import naming_differences, shared_targets
from modeldiff_core.comparison.leading import leading_vectors
from modeldiff_core.comparison.rotation import varimax
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, train_subset_models
from modeldiff_core.training.devices import fast_arithmetic

COMPONENTS = 8
Trained = tuple[str, np.ndarray, np.ndarray, np.ndarray]
"""A name, masks, A's and B's margins."""


def trained(models: list[int], kinds: list[str], seed: int) -> Iterator[Trained]:
    """Yield pairs of algorithms between which one difference is planted."""
    if models:
        pair = pair_of("digits", "mlp", 0.1, None)
        masks = SubsetSampler(len(pair.data.train), 0.5, 0).masks(range(max(models)))
        a, b = (train_subset_models(one, masks, range(len(masks)), Execution()).margins for one in (pair.a, pair.b))
        for count in models:
            yield f"digits_watermark, {count:,} models", masks[:count], a[:count], b[:count]
    for kind in kinds:
        made = sample(SMALL, kind, seed)
        of = [margins(RECIPES[SMALL], made, side, MODELS[SMALL], 1, seed) for side in "ab"]
        yield kind, of[0].masks, of[0].margins, of[1].margins


def main() -> None:
    """Print a row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", type=int, default=[700, 2000])
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=["patch", "tint", "position", "bar"])
    parser.add_argument("--seed", type=int, default=700)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| one planted difference | eigenvalues | shared by two directions | differences named |\n|---|---|---|---|")
    with threadpool_limits(1), fast_arithmetic(torch.device("cpu")):
        for name, masks, a, b in trained(asked.models, asked.kinds, asked.seed):
            of = sample_of((masks, masks), (a, b))
            fits = of.fits()
            contrast = contrast_of(of, fits)
            rows = centered(contrast.naming(2).rows(fits)[0])
            vectors = leading_vectors(*rows, 2)
            values = np.einsum("ij,ij->j", rows[0] @ vectors, rows[1] @ vectors)
            named = naming_differences(contrast, of, fits, COMPONENTS, asked.seed).differences
            shared = shared_targets(rows, varimax(vectors))
            print(f"| {name} | {', '.join(f'{v:.2f}' for v in values)} | {shared:.2f} | {named} |", flush=True)


if __name__ == "__main__":
    main()
