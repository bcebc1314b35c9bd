"""The search of benchmarks/planted.py: whether the platform proposes and confirms what was planted.

The rule, fixed before any result: along the first three significant directions of side A−B (by index) the platform's
search is run with its default settings and with ENSEMBLE full-data models of each algorithm. It knows neither the cue
nor who carries it. A cue is *search found* if one of the transformations put to the test, along any of these
directions, (1) follows the cue's class or each image's own, (2) is confirmed: p of the difference of A's and B's
effects on the probability is at most 0.05 after Holm over everything put to the test in the study, on the half of
images and models that neither proposed nor ranked, and (3) does what the cue does: on the images of that half that are
not of the cue's class and carry no cue, A's effect minus B's on the probability of the cue's class has the sign of the
planted cue's own and at least LEAST_SHARE of its size. The class of a cue is the one of the largest share, or the one
that its carriers are labelled as. Of a kind with several cues as many must be found as there are, up to three. No kind
is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.planted_kinds import Planting, Sample
from modeldiff_core.data import Examples
from modeldiff_core.images import Images
from modeldiff_core.training import Execution, Task, TrainedModels, train_ensemble
from modeldiff_core.training.sgd import Sgd
from modeldiff_core.transformations import EffectSettings, Judged, build, judge
from modeldiff_core.transformations.effects import eligible_images, measure
from modeldiff_core.transformations.ends import Along
from modeldiff_core.transformations.library import Transformation
from modeldiff_core.transformations.pixels import AnyShape
from modeldiff_core.transformations.search import SearchSettings, image_halves, model_halves, search

ENSEMBLE, LEAST_SHARE = 20, 1 / 3
SEARCH, EFFECTS = SearchSettings(), EffectSettings()


@dataclass(frozen=True)
class Cued(AnyShape):
    """The planted cue itself as a transformation; whole at every intensity."""

    planting: Planting

    def __call__(self, images: Images, intensity: float) -> Images:
        return self.planting.feature.stamp(images)


@dataclass(frozen=True)
class Ensembles:
    """Full-data models of A and of B."""

    a: TrainedModels
    b: TrainedModels


def ensembles(recipe: Sgd, made: Sample, seed: int) -> Ensembles:
    """ENSEMBLE models of each algorithm, trained as a study's are."""

    def trained(train: Examples) -> TrainedModels:
        return train_ensemble(Task(recipe, seed, train, made.test, 10), range(ENSEMBLE), Execution(stack=50))[0]

    return Ensembles(trained(made.train_a), trained(made.train_b))


def searched(of: Ensembles, made: Sample, weights: np.ndarray, projections: np.ndarray) -> dict[str, Any]:
    """Search along directions [directions, train] with projections [targets, directions], and judge by the rule."""
    measured = []
    for direction, projection in zip(weights, projections.T, strict=True):
        along = Along(made.test, projection), Along(made.train_a, direction)
        found = search((of.a,), (of.b,), *along, ENSEMBLE, SEARCH, EFFECTS)
        measured += [one.measured for one in found]
    tested = judge(measured, EFFECTS)
    cues = [found_cue(of, made, truth.planting, tested) for truth in made.truths]
    hits = sum(bool(cue["by"]) for cue in cues)
    return {
        "tested": [_told(one) for one in tested],
        "cues": cues,
        "found": bool(cues) and hits >= min(len(cues), 3),
    }


def _told(one: Judged) -> dict[str, Any]:
    test, probability = one.measured.test, one.measured.probability
    return {
        "name": test.name, "kind": test.kind, "class": test.target_class, "p": round(one.p_probability, 6),
        "a": round(probability.a[-1].mean, 4), "b": round(probability.b[-1].mean, 4),
        "distinguishing": one.distinguishing,
    }  # fmt: skip


def found_cue(of: Ensembles, made: Sample, planting: Planting, tested: Sequence[Judged]) -> dict[str, Any]:
    """The cue's own effect, A's minus B's, and by which confirmed transformations it was found."""
    label = planting.main[0] if planting.relabel is None else planting.relabel
    _, half = image_halves(len(made.test), SEARCH.seed)
    held = made.test.select(half)
    shown = held.select(eligible_images(held.labels, held.metadata, label, EFFECTS.max_images, EFFECTS.seed))

    def difference(transformation: Transformation) -> float:
        rows = model_halves(ENSEMBLE)[1]
        a, b = (
            measure(models, transformation, shown.images, shown.labels, (1.0,), label).probability[0, rows.start :]
            for models in (of.a, of.b)
        )
        return float(a.mean() - b.mean())

    own = difference(Cued(planting))
    by, most = [], 0.0
    for one in tested:
        test = one.measured.test
        if one.p_probability > EFFECTS.alpha or test.target_class not in (None, label):
            continue
        share = difference(build(test, made.test.images.shape[1:])) / own
        most = max(most, share)
        if share >= LEAST_SHARE:
            by.append(test.name)
    return {"class": label, "own": round(own, 4), "most": round(most, 3), "by": by}
