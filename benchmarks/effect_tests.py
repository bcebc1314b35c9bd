"""Check families of tests with few models, pairs, and the three answers, where the truth is known.

Rules, fixed before the first run; the first seed of each rule was used while the statistics were written, so that
what counts is a run with --seed, which nobody looked at before:
  - families: of 300 null studies with 24 tests each, adjusted by Holm, at most 23 find anything (a test of exactly 5 %
    fails that with chance 0.02), for 2, 3, 4, 6 and 10 models of each algorithm, independent and paired, in each of
    four mixtures of the models', the images' and the remaining variance;
  - answers: of 400 studies of planted and of no differences (A's effect 0, 0.1, 0.2 or 0.4, B's 0, 0.03, 0.05, 0.07
    or as A's; one study in five with B's images moving by ±0.2 whose mean stays), with 5 or 10 models and 60 to 360
    images, at most 5 % of the answers are wrong: "distinguishing" where B's effect is above epsilon or its images' mean
    size is above delta, or A's is not above epsilon; "not distinguishing" where A reacts by delta and B does not;
  - told: of the undecided ones with a number, the models and images that are told decide in 80 % or more.

A run of a share of the studies is judged by the largest number that a test of exactly 5 % exceeds with chance 0.02.

    python -m benchmarks.effect_tests [--share 1] [--seed 0] [--models 2 3 4 6 10]
"""

import argparse
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np
from scipy.stats import binom

from modeldiff_core.statistics import difference_test, holm
from modeldiff_core.transformations.equivalence import Margins, Reaction, Verdict, decide

MIXTURES = {
    "models": (0.1, 0.0, 0.1),
    "images": (0.0, 0.1, 0.3),
    "all three": (0.03, 0.1, 0.3),
    "models and images": (0.05, 0.1, 0.05),
}
TESTS, STUDIES, ANSWERS = 24, 300, 400
MARGINS = Margins(delta=0.1, epsilon=0.05, alpha=0.05)
Way = Literal["independent", "paired"]


def draw(rng: np.random.Generator, parts: tuple[float, float, float], models: int, images: int) -> np.ndarray:
    """Changes [models, images] around 0."""
    of_models, of_images, rest = parts
    return (
        of_models * rng.normal(size=(models, 1))
        + of_images * rng.normal(size=(1, images))
        + rest * rng.normal(size=(models, images))
    )


def alarms(parts: tuple[float, float, float], models: int, way: Way, studies: int, seed: int) -> int:
    """Return how many null studies find something in any of their tests; each has 60 images of its own."""
    key = [models, way == "paired", round(1000 * sum(parts)), *([seed] if seed else [])]
    rng, found = np.random.default_rng(key), 0
    for _ in range(studies):
        ps = [difference_test(*(draw(rng, parts, models, 60) for _ in "ab"), models=way).p for _ in range(TESTS)]
        found += bool(holm(np.array(ps)).min() <= 0.05)
    return found


@dataclass(frozen=True)
class Truth:
    """A's and B's effects, and how far B's images move whose mean stays."""

    a: float
    b: float
    sway: float

    @property
    def distinguishes(self) -> bool:
        """Whether A reacts and B does not."""
        return abs(self.a) >= MARGINS.delta and abs(self.b) <= MARGINS.epsilon and self.sway <= MARGINS.delta

    def wrong(self, verdict: Verdict) -> bool:
        """Return whether an answer is false."""
        if verdict.answer == "distinguishing":
            return abs(self.b) > MARGINS.epsilon or self.sway > MARGINS.delta or abs(self.a) <= MARGINS.epsilon
        return verdict.answer == "not distinguishing" and self.distinguishes

    def answer(self, rng: np.random.Generator, models: int, images: int) -> Verdict:
        """Return the answer of a study with so many models and images."""
        a = self.a + draw(rng, (0.02, 0.04, 0.1), models, images)
        b = self.b + draw(rng, (0.02, 0.02, 0.1), models, images)
        b += self.sway * np.where(np.arange(images) % 2, 1, -1)
        p = min(1.0, TESTS * difference_test(a, b).p)
        return decide(*(Reaction.of(x, MARGINS.alpha) for x in (a, b, a - b)), p, MARGINS)


def answers(studies: int, seed: int) -> tuple[dict[str, int], int, int, int]:
    """Return how often each answer is given, how many are wrong, and of told numbers how many there are and decide."""
    rng = np.random.default_rng([20261129, seed] if seed else 20261129)
    given: dict[str, int] = {}
    wrong = told = decided = 0
    for _ in range(studies):
        a = float(rng.choice([0.0, 0.1, 0.2, 0.4]))
        b = float(rng.choice([0.0, 0.03, 0.05, 0.07, a]))
        truth = Truth(a, b, 0.2 if rng.random() < 0.2 else 0.0)
        models, images = int(rng.choice([5, 10])), int(rng.integers(60, 361))
        found = truth.answer(rng, models, images)
        given[found.answer] = given.get(found.answer, 0) + 1
        wrong += truth.wrong(found)
        if found.models is not None and found.images is not None and found.models * found.images < 10**6:
            told += 1
            decided += truth.answer(rng, found.models, found.images).answer != "undecided"
    return given, wrong, told, decided


def main() -> None:
    """Print a row for each rule."""
    parser = argparse.ArgumentParser(description="Families of tests with few models, and the three answers.")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=int, nargs="*", default=[2, 3, 4, 6, 10])
    asked = parser.parse_args()
    began, studies, failed = perf_counter(), round(asked.share * STUDIES), 0
    most = int(binom.ppf(0.98, studies, 0.05))
    for name, parts in MIXTURES.items():
        for models in asked.models:
            for way in ("independent", "paired"):
                found = alarms(parts, models, way, studies, asked.seed)
                held = found <= most
                failed += not held
                print(f"{name:<18} {models:>3} {way:<12} {found:>4} of {studies}{'' if held else '  no'}", flush=True)
    given, wrong, told, decided = answers(round(asked.share * ANSWERS), asked.seed)
    print(f"answers {given}; {wrong} wrong; of {told} numbers told {decided} decide")
    failed += (wrong > 0.05 * sum(given.values())) + (decided < 0.8 * told)
    print(f"{failed} rules broken; {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
