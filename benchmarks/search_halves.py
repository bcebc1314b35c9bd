"""Measure how often the best of many candidates seems real where nothing differs: why the search halves the models too.

Simulates A and B that do not differ: the change under candidate c is a_mc + b_ic + e_mic, with parts of the models, of
the images (the same for A and B) and of both. The candidate of the largest difference on one half of the images is
tested (`difference_test`) on the other half, with the models that ranked it or with the other half of the models.
Prints how often p < 0.05, as a Markdown table; the goal is 5 %.

    python -m benchmarks.search_halves [runs, 1000 by default]
"""

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from time import perf_counter

import numpy as np

from modeldiff_core.statistics import difference_test
from modeldiff_core.transformations.search import best, image_halves, model_halves

CANDIDATES, MODELS, IMAGES = 24, 20, 200
CASES = {
    "models only": (0.1, 0.0, 0.0),
    "all three": (0.03, 0.1, 0.3),
    "images and interaction": (0.0, 0.1, 0.3),
}
"""Deviations of the parts of models, images and interaction."""


def drawn(rng: np.random.Generator, parts: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Draw changes of A and of B [candidates, models, images]."""
    model, image, interaction = parts
    of_images = image * rng.normal(size=(CANDIDATES, 1, IMAGES))

    def algorithm() -> np.ndarray:
        of_models = model * rng.normal(size=(CANDIDATES, MODELS, 1))
        return of_models + of_images + interaction * rng.normal(size=(CANDIDATES, MODELS, IMAGES))

    return algorithm(), algorithm()


def rows(runs: int) -> Iterator[str]:
    """Yield one line of the table per case."""
    ranking, confirming = image_halves(IMAGES, 0)
    first, second = model_halves(MODELS)
    for at, (name, parts) in enumerate(CASES.items()):
        rng = np.random.default_rng(at)
        same = other = 0
        for _ in range(runs):
            a, b = drawn(rng, parts)
            for rows_ranking, rows_confirming in ((range(MODELS), range(MODELS)), (first, second)):
                means = (x[:, rows_ranking][:, :, ranking].mean(axis=(1, 2)) for x in (a, b))
                (chosen,) = best(*means, 1)
                of_a, of_b = (x[chosen][rows_confirming][:, confirming] for x in (a, b))
                significant = difference_test(of_a, of_b).p < 0.05
                same += significant and rows_confirming is not second
                other += significant and rows_confirming is second
        yield f"| {name} | {same / runs:.1%} | {other / runs:.1%} |"


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    began = perf_counter()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, numpy {np.__version__}; {runs} runs a line (±", end="")
    print(f"{1.96 * np.sqrt(0.05 * 0.95 / runs):.1%}), best of {CANDIDATES}, {MODELS} models, {IMAGES} images\n")
    print("| parts | p < 0.05, the same models | p < 0.05, the other half of the models |\n| --- | --- | --- |")
    for row in rows(runs):
        print(row, flush=True)
    print(f"\n{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
