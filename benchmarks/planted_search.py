"""The search of benchmarks/planted.py: does the platform propose and confirm the planted cue?

The rule, fixed before any result: along the first three significant directions of side A−B (by index) the platform's
search is run with its default settings and with ENSEMBLE full-data models of each algorithm. It knows neither the cue
nor the images that carry it. A cue is *found by the search* if one of the tested transformations, along any of these
directions, (1) follows the cue's class or each image's class, (2) is confirmed: p of the difference of A's and B's
effects on the probability is at most 0.05 after Holm over all tests of the study, on the half of images and models that
neither proposed nor ranked, and (3) acts like the cue: on the images of that half that are not of the cue's class and
carry no cue, A's effect minus B's on the probability of the cue's class has the sign of the planted cue's effect and at
least LEAST_SHARE of its size. The class of a cue is the one of the largest share, or the one that its carriers are
labeled as. Of a kind with several cues all must be found, or three if there are more. No kind is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.planted_kinds import Planting, Sample
from harness.search_in_memory import search
from modeldiff_core.data import Examples
from modeldiff_core.images import Images
from modeldiff_core.training import Execution, Task, TrainedModels, train_ensemble
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.transformations import EffectSettings, Judged, build, judge
from modeldiff_core.transformations.effects import eligible_images, measure
from modeldiff_core.transformations.ends import OrderedExamples
from modeldiff_core.transformations.library import Transformation
from modeldiff_core.transformations.pixels import AnyShape
from modeldiff_core.transformations.search import SearchSettings, image_halves, model_halves

ENSEMBLE, LEAST_SHARE = 20, 1 / 3
SEARCH, EFFECTS = SearchSettings(), EffectSettings()


@dataclass(frozen=True)
class Cued(AnyShape):
    """The planted cue itself as a transformation, complete at every intensity."""

    planting: Planting

    def __call__(self, images: Images, intensity: float) -> Images:
        return self.planting.feature.stamp(images)


@dataclass(frozen=True)
class Ensembles:
    """Full-data models of A and of B."""

    a: TrainedModels
    b: TrainedModels


def ensembles(recipe: Sgd, made: Sample, seed: int) -> Ensembles:
    """Train ENSEMBLE full-data models of each algorithm, as a study does."""

    def trained(train: Examples) -> TrainedModels:
        return train_ensemble(Task(recipe, seed, train, made.test, 10), range(ENSEMBLE), Execution(stack=50))[0]

    return Ensembles(trained(made.train_a), trained(made.train_b))


def searched(of: Ensembles, made: Sample, weights: np.ndarray, projections: np.ndarray) -> dict[str, Any]:
    """Search along directions [directions, train] with projections [targets, directions], and judge by the rule."""
    measured = []
    for direction, projection in zip(weights, projections.T, strict=True):
        along = OrderedExamples(made.test, projection), OrderedExamples(made.train_a, direction)
        candidates = search((of.a,), (of.b,), *along, ENSEMBLE, SEARCH, EFFECTS)
        measured += [one.measured for one in candidates]
    tested = judge(measured, EFFECTS)
    cues = [found_cue(of, made, truth.planting, tested) for truth in made.truths]
    hits = sum(bool(cue["by"]) for cue in cues)
    return {
        "tested": [_description(one) for one in tested],
        "cues": cues,
        "found": bool(cues) and hits >= min(len(cues), 3),
    }


def _description(one: Judged) -> dict[str, Any]:
    test, probability = one.measured.test, one.measured.probability
    return {
        "name": test.name,
        "kind": test.kind,
        "class": test.target_class,
        "p": round(one.p_probability, 6),
        "a": round(probability.a[-1].mean, 4),
        "b": round(probability.b[-1].mean, 4),
        "distinguishing": one.distinguishing,
    }


def found_cue(of: Ensembles, made: Sample, planting: Planting, tested: Sequence[Judged]) -> dict[str, Any]:
    """Return the cue's effect, A's minus B's, and the confirmed transformations that found it."""
    label = planting.main[0] if planting.relabel is None else planting.relabel
    _, half = image_halves(len(made.test), SEARCH.seed)
    confirming = made.test.select(half)
    eligible = eligible_images(confirming.labels, confirming.metadata, label, EFFECTS.max_images, EFFECTS.seed)
    images = confirming.select(eligible)

    def difference(transformation: Transformation) -> float:
        rows = model_halves(ENSEMBLE)[1]
        a, b = (
            measure(models, transformation, images.images, images.labels, (1.0,), label).probability[0, rows.start :]
            for models in (of.a, of.b)
        )
        return float(a.mean() - b.mean())

    cue_effect = difference(Cued(planting))
    by, most = [], 0.0
    for one in tested:
        test = one.measured.test
        if one.p_probability > EFFECTS.alpha or test.target_class not in (None, label):
            continue
        share = difference(build(test, made.test.images.shape[1:])) / cue_effect
        most = max(most, share)
        if share >= LEAST_SHARE:
            by.append(test.name)
    return {"class": label, "own": round(cue_effect, 4), "most": round(most, 3), "by": by}
