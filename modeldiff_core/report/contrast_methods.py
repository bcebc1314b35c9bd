"""How a contrast was made and tested, in sentences with the settings that were used."""

from collections.abc import Mapping

from modeldiff_core.report.facts import ContrastFacts
from modeldiff_core.report.words import number

CONTRAST_SIZES = (
    "Directions of one half of the models were measured on the other half, both ways, averaged. The variance along a "
    "direction is a sum over pairs of different models, in which noise cancels in expectation, so that a noisier "
    "algorithm has no "
    "larger one. The unit is the mean squared length of A’s and B’s datamodels, likewise without noise; B’s are "
    "taken at "
    "A’s scale. The total is all that differs, over all directions; a share is a direction’s part of it. "
    "Intervals are of "
    "95\u00a0% and for new models, with the slopes taken as known; those of quotients are Fieller’s."
)


def hypothesis_words(facts: ContrastFacts) -> str:
    """Return the hypothesis in words and as a formula."""
    if facts.hypothesis == "identical":
        return (
            "What is tested: E[θ_B,t] = E[θ_A,t] for every test image t, the expected datamodels of A and B are "
            "the same."
        )
    return (
        "What is tested: A and B rely on the same training examples, up to how strongly the margin of each test image "
        "reacts: for every test image t, E[θ_A,t] = c_t·E[θ_B,t] with a c_t > 0 of its own. Seed noise, sureness and "
        "accuracy may differ. What this hides is shown: the figure of how strongly margins react, with a test of "
        "its own."
    )


def contrast_directions(comparison: Mapping[str, object]) -> str:
    """Return how directions were found."""
    count = comparison.get("components")
    many = f"{count} " if isinstance(count, int) else ""
    free = comparison.get("hypothesis") != "identical"
    slope = (
        "with the slope c_t that the leading eigenvector of the matrix of their products without noise gives "
        "(total least "
        "squares), estimated in each half by itself, outside the leading direction,"
        if free
        else "as they are"
    )
    return (
        "Each test image’s margins were standardized, and datamodels of A and of B estimated by ridge regression "
        "from each of two "
        "disjoint halves of the models: it is linear, so noise moves no expectation. A’s and B’s datamodels were "
        "subtracted "
        f"{slope.rstrip(',')}. With R₀ and R₁ the centered differences of the halves, the "
        f"{many}directions are the eigenvectors of (R₀ᵀR₁ + R₁ᵀR₀)/2 of the largest eigenvalues. A direction "
        "belongs to "
        "the side, A−B or B−A, whose datamodels vary more along it."
    )


def contrast_significance(comparison: Mapping[str, object], facts: ContrastFacts) -> str:
    """Return how directions were tested."""
    if not facts.draws:
        return "Directions were not set against chance."
    level = comparison.get("significance")
    tested = (
        " A significant direction is taken out and the next one tested in the same way, until one is not significant."
        if comparison.get("one_by_one")
        else ""
    )
    tested += " Where several differences are named, each after the first is tested in what is left without the others."
    least = f" A direction is significant if p is at most {number(level)}." if isinstance(level, float) else ""
    return (
        "For the null, what A’s margins differ from B’s at the slopes of all models was put to other models’ "
        "masks at random, "
        "within each half, all test images together, and the largest eigenvalue taken as before. p of a "
        "direction is the "
        f"share of draws that reach its own; draws end early where p is clearly large.{tested} "
        f"{facts.draws:,} draws were made in all.{least}"
    )
