"""How a comparison by differentiated trainings was made and tested, in sentences with its numbers."""

from collections.abc import Mapping

from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.report.facts import TrainingsFacts
from modeldiff_core.report.words import duration, number, percent
from modeldiff_core.statistics.replicates import MOST_PATTERNS


def differentiated_words(facts: TrainingsFacts) -> str:
    """Return what was computed, and what it cost."""
    left = "" if not facts.left_out else f" {facts.left_out} pairs were left out, since one of the two diverged."
    return (
        f"{facts.differentiated:,} trainings with one weight on every training image, equal to the share that a subset "
        "leaves in, were differentiated with respect to these weights, through all their steps (estimator "
        f"metagradient). {facts.compared:,} of each algorithm are compared.{left} It took {facts.reverse:,} products "
        "with weightings of the test images (reverse), "
        f"{facts.forward:,} along the basis (forward), and {facts.along_masks:,} along the masks of models on other "
        f"subsets, which give the score: {duration(facts.seconds)} of processor time. No matrix of datamodels was "
        "formed."
    )


def basis_words(facts: TrainingsFacts) -> str:
    """Return how the basis was found."""
    others = (
        "Trainings that chose it are not compared, so that nothing in it knows which training is whose."
        if facts.compared + facts.left_out >= LEAST_TESTED
        else "The trainings that chose it are those that are compared."
    )
    return (
        "A common basis of training directions spans the reverse products of random weightings of the test images, "
        f"half of it from A and half from B, each summed over the trainings. {others} A product more would lie to "
        f"{percent(facts.missed, 0)} outside of it."
    )


def training_directions(facts: TrainingsFacts) -> str:
    """Return how directions were found."""
    if facts.compared < LEAST_TESTED:
        return (
            "From each test image’s mean derivatives along the basis under A the part that is along B’s was taken "
            "away; the directions A−B are the principal components of what remains, centered; likewise B−A. Variances "
            "are in units of the mean squared length."
        )
    return (
        "The trainings of each algorithm form two groups. In each, A’s and B’s derivatives along the basis were "
        "subtracted with the slope of each test image that products between different trainings give. Directions "
        "are the eigenvectors of the products between the two groups, in which the noise of a training cancels in "
        "expectation. A direction belongs to the side, A−B or B−A, whose margins depend more on it; variances are sums "
        "over pairs of different trainings, in units of the mean squared length."
    )


def training_significance(comparison: Mapping[str, object], facts: TrainingsFacts) -> str:
    """Return how directions were tested."""
    if facts.compared < LEAST_TESTED:
        return (
            f"Cannot be tested: with {facts.compared} trainings of each algorithm the smallest p is "
            f"{number(2.0 ** (1 - facts.compared))}, and a test takes {LEAST_TESTED} of each or more."
        )
    level = comparison.get("significance")
    least = f" A direction is significant if p is at most {number(level)}." if isinstance(level, float) else ""
    patterns = 2 ** (min(facts.compared, MOST_PATTERNS) - 1)
    return (
        "If A and B rely on the same training images, up to how strongly each margin reacts, the sign of a training’s "
        f"whole contrast is chance. Signs were flipped in {patterns:,} patterns, and p of a direction is the share of "
        f"them whose largest eigenvalue reaches its own, so {2.0 ** (1 - facts.compared):.2g} or more.{least}"
    )
