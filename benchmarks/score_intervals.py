"""Bias of scores on few held-out models, and how often their 95 % intervals hold the score of endless models.

Rule, fixed before the first run: for each number of held-out models of 20, 50, 100 and 400 and each of the three scores
(Spearman, Pearson, R²), in 1,000 draws of the held-out models and targets, the interval for both holds the truth in 93
to 97 % and the corrected score is off by less than 0.002 on average; likewise the interval for other models and the
same targets. With 5 and 10 models it is printed, not graded.

Each target is linear in the masks of 60 examples, its datamodel is off by some error, and part of the noise of a model
is common to all targets (as in trained models, where a seed moves many margins at once). The truth is that of 8,000
models and a pool of 400 targets, of which each draw takes 30.

    python -m benchmarks.score_intervals [draws, 1000 by default]
"""

import sys
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from modeldiff_core.evaluation import scores_with_intervals
from modeldiff_core.evaluation.lds import Score

TRAIN, TARGETS, POOL, TRUTH = 60, 30, 400, 8000
GRADED, SHOWN = (20, 50, 100, 400), (5, 10)
NAMES = ("spearman", "pearson", "r2")


@dataclass(frozen=True)
class World:
    """Weights, their errors and noise of each target; `common` is the share of a model's noise that all targets see."""

    noise: float
    error: float
    common: float
    seed: int

    def targets(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return true weights, estimated ones and what the common noise does to each target."""
        true = rng.normal(size=(count, TRAIN)).astype(np.float32)
        estimated = true + self.error * rng.normal(size=true.shape).astype(np.float32)
        return true, estimated, rng.normal(1, 0.3, count).astype(np.float32)

    def margins(
        self, true: np.ndarray, strength: np.ndarray, models: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return masks and margins of new models."""
        masks = rng.random((models, TRAIN)) < 0.5
        scale = self.noise * np.sqrt(TRAIN / 4)
        own = np.sqrt(1 - self.common) * rng.normal(size=(models, len(true)))
        together = np.sqrt(self.common) * rng.normal(size=(models, 1)) * strength
        return masks, ((masks - 0.5) @ true.T + scale * (own + together)).astype(np.float32)


WORLDS = {
    "weak": World(1.5, 0.7, 0.3, 1),
    "middling": World(0.8, 0.4, 0.3, 2),
    "strong": World(0.3, 0.15, 0.3, 3),
}


def row(world: World, models: int, draws: int) -> dict[str, tuple[float, float, float, float, float]]:
    """Return bias of mean and corrected, and coverage of both, targets-fixed, and its truth, by score."""
    rng = np.random.default_rng([world.seed, models])
    true, estimated, strength = world.targets(POOL, rng)
    masks, margins = world.margins(true, strength, TRUTH, rng)
    zero = np.zeros(len(true), np.float32)

    def centered(masks: np.ndarray) -> np.ndarray:
        return estimated @ np.full(TRAIN, -0.5, np.float32)

    bias = zero + centered(masks)
    whole = {name: _each(estimated, bias, masks, margins)[name] for name in NAMES}
    out = {}
    found: dict[str, list[tuple[float, float, bool, bool]]] = {name: [] for name in NAMES}
    for _ in range(draws):
        chosen = rng.choice(len(true), TARGETS, replace=False)
        masks, margins = world.margins(true[chosen], strength[chosen], models, rng)
        scores = scores_with_intervals(estimated[chosen], bias[chosen], masks, margins)
        for name in NAMES:
            score: Score = getattr(scores, name)
            truth, here = float(whole[name].mean()), float(whole[name][chosen].mean())
            both = score.ci_low <= truth <= score.ci_high
            fixed = score.over_models[0] <= here <= score.over_models[1]
            found[name].append((score.mean - here, score.corrected - here, both, fixed))
    for name, rows in found.items():
        mean, corrected, both, fixed = np.array(rows, dtype=np.float64).mean(0)
        out[name] = (float(whole[name].mean()), mean, corrected, both, fixed)
    return out


def _each(weights: np.ndarray, bias: np.ndarray, masks: np.ndarray, margins: np.ndarray) -> dict[str, np.ndarray]:
    from modeldiff_core.evaluation.pseudo_values import explained
    from modeldiff_core.statistics import correlation, rank_correlation

    predicted = (masks.astype(np.float32) @ weights.T + bias).astype(np.float64)
    y = margins.astype(np.float64)
    return {
        "spearman": rank_correlation(predicted, y),
        "pearson": correlation(predicted, y),
        "r2": explained(predicted, y),
    }


def main() -> None:
    """Print a row for each world, number of models and score, and whether the rule holds."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    began, failed = perf_counter(), 0
    print("world     models  score     truth    bias  corrected  coverage  same targets")
    for name, world in WORLDS.items():
        for models in (*SHOWN, *GRADED):
            for score, (truth, mean, corrected, both, fixed) in row(world, models, draws).items():
                held = 0.93 <= both <= 0.97 and 0.93 <= fixed <= 0.97 and abs(corrected) < 0.002
                graded = models in GRADED
                failed += graded and not held
                verdict = "" if not graded else ("" if held else "  no")
                print(
                    f"{name:<9} {models:>6}  {score:<8} {truth:>6.3f} {mean:>+7.4f}  {corrected:>+9.4f} "
                    f"{both:>9.1%} {fixed:>13.1%}{verdict}",
                    flush=True,
                )
    print(f"{failed} rows outside the rule; {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
