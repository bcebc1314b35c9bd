"""Check the coverage of intervals and the level of tests of effects, for new models and new images.

Simulates change[m, i] = μ + a_m + b_i + e_mi with known parts, and prints for each case
  - interval:    how often the 95 % interval of `two_way_interval` contains μ (goal 93 to 97 %),
  - bootstrap:   the same for the percentile interval of the plain two-way bootstrap (models and images resampled),
  - difference:  how often the 95 % interval of `difference_test` contains 0 where A and B do not differ,
  - p < 0.05:    how often the test then reports a difference, and the Kolmogorov-Smirnov p of its p being uniform.

    python benchmarks/intervals.py [runs, 1000 by default]
"""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
from scipy import stats

from modeldiff_core.statistics import difference_test, two_way_interval

MU = 0.2
BOOTSTRAP_DRAWS = 300

Part = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw normal values: mean 0, deviation 1."""
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw exponential values: mean 0, deviation 1, skewness 2."""
    return rng.exponential(size=shape) - 1


def rare(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw values of which one in ten is large and the others are equal: mean 0, deviation 1, skewness 2.7."""
    return ((rng.random(shape) < 0.1) - 0.1) / 0.3


def heavy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw Student's t with 4 degrees of freedom and deviation 1: margins are unbounded and have outliers."""
    return rng.standard_t(4, size=shape) / np.sqrt(2)


@dataclass(frozen=True)
class Case:
    """Deviations of the parts of models, images and interaction, with their distributions."""

    name: str
    model: float
    image: float
    interaction: float
    of_models: Part = normal
    of_images: Part = normal

    def draw(self, rng: np.random.Generator, models: int, images: int) -> np.ndarray:
        """Draw changes [models, images] around 0."""
        return (
            self.model * self.of_models(rng, (models, 1))
            + self.image * self.of_images(rng, (1, images))
            + self.interaction * normal(rng, (models, images))
        )


CASES = (
    Case("models only", 0.1, 0.0, 0.0),
    Case("models, some interaction", 0.03, 0.0, 0.2),
    Case("images only", 0.0, 0.2, 0.0),
    Case("images, some interaction", 0.0, 0.1, 0.3),
    Case("interaction only", 0.0, 0.0, 0.3),
    Case("all three", 0.03, 0.1, 0.3),
    Case("skewed models", 0.1, 0.1, 0.1, of_models=skewed),
    Case("skewed images", 0.02, 0.2, 0.1, of_images=skewed),
    Case("one image in ten reacts", 0.02, 0.2, 0.1, of_images=rare),
    Case("margins: heavy tails", 1.0, 3.0, 1.0, of_models=heavy, of_images=heavy),
)
SIZES = ((20, 200), (20, 500), (10, 100), (5, 50))


def bootstrap(changes: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of the mean over models and images drawn with replacement."""
    models, images = changes.shape
    of_models = rng.multinomial(models, np.full(models, 1 / models), size=BOOTSTRAP_DRAWS)
    of_images = rng.multinomial(images, np.full(images, 1 / images), size=BOOTSTRAP_DRAWS)
    means = ((of_models @ changes) * of_images).sum(axis=1) / changes.size
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def rows(runs: int) -> Iterator[str]:
    """Yield one line of the table per case and size."""
    for models, images in SIZES:
        for at, case in enumerate(CASES):
            rng = np.random.default_rng([models, images, at])
            covered = resampled = none = 0
            ps = []
            for _ in range(runs):
                changes = case.draw(rng, models, images) + MU
                interval = two_way_interval(changes)
                covered += interval.low <= MU <= interval.high
                low, high = bootstrap(changes, rng)
                resampled += low <= MU <= high
                shared = 0.3 * normal(rng, (1, images))
                difference = difference_test(
                    case.draw(rng, models, images) + shared, case.draw(rng, models, images) + shared
                )
                none += difference.low <= 0 <= difference.high
                ps.append(difference.p)
            uniform = stats.kstest(ps, "uniform").pvalue
            yield (
                f"{models:>6} × {images:<6} {case.name:<26} {covered / runs:>8.1%} {resampled / runs:>10.1%} "
                f"{none / runs:>11.1%} {np.mean(np.array(ps) < 0.05):>9.1%} {uniform:>8.3f}"
            )


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    began = perf_counter()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, numpy {np.__version__}, {runs} runs a line,")
    print(f"95 % of that many runs vary by ±{1.96 * np.sqrt(0.95 * 0.05 / runs):.1%}")
    print(f"models × images  {'parts':<26} interval  bootstrap  difference  p < 0.05  uniform")
    for row in rows(runs):
        print(row, flush=True)
    print(f"{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
