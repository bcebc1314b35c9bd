"""Measure how often random members of a subpopulation seem to share something.

From the 797 test images of the digits 40 members are drawn from all classes, or 30 from one class. Prints, as a
Markdown table, in what share of such subpopulations a statistic or the pixel that differs most is reported to differ
beyond chance (adjusted p ≤ 0.05), and the same for Student's t: Holm over the statistics, Bonferroni over the pixels.

    python -m benchmarks.shared_by_chance [runs a line, 200 by default]
"""

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from time import perf_counter

import numpy as np
from scipy.special import ndtri

from modeldiff_core.data import Examples
from modeldiff_core.statistics import holm, within_classes
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from modeldiff_core.subpopulations import image_statistics, shared

ALPHA = 0.05


def reported(examples: Examples, members: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Return whether a statistic and a pixel are reported to differ, then the same by Student's t."""
    result = shared(examples, members, classes)
    assert result is not None
    assert result.place is not None
    statistics = np.stack(list(image_statistics(examples.images).values()), axis=1)
    of_statistics = within_classes(statistics, members.astype(float), examples.labels)
    of_pixels = within_classes(examples.images, members.astype(float), examples.labels)
    assert of_statistics is not None
    assert of_pixels is not None
    critical = -ndtri(ALPHA / 2 / of_pixels.t.size)
    return np.array(
        [
            min(s.p_adjusted for s in result.statistics) <= ALPHA,
            result.place.p_adjusted <= ALPHA,
            holm(of_statistics.p).min() <= ALPHA,
            np.abs(of_pixels.t).max() >= critical,
        ]
    )


def rows(runs: int) -> Iterator[str]:
    """Yield one line of the table for each way of drawing members."""
    data = load_dataset(DatasetConfig(kind="digits"))
    rng, labels = np.random.default_rng(0), data.test.labels
    for name, count in (("40 of all classes", 40), ("30 of one class", 30)):
        total = np.zeros(4)
        for run in range(runs):
            place = np.flatnonzero(labels == run % 10) if count == 30 else np.arange(len(labels))
            members = np.zeros(len(labels), dtype=bool)
            members[rng.permutation(place)[:count]] = True
            total += reported(data.test, members, data.classes)
        yield "| " + " | ".join([name, *(f"{share:.1%}" for share in total / runs)]) + " |"


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    began = perf_counter()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, numpy {np.__version__}; {runs} runs a line (±", end="")
    print(f"{1.96 * np.sqrt(ALPHA * (1 - ALPHA) / runs):.1%})\n")
    print("| members | a statistic | a pixel | a statistic by t | a pixel by t |\n| --- | --- | --- | --- | --- |")
    for row in rows(runs):
        print(row, flush=True)
    print(f"\n{perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
