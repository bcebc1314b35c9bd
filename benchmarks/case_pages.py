"""The pages of case_augmentation and case_pretraining, every number from a store (benchmarks/cases.py)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case_records import record_key
from benchmarks.direction_picture import draw, looks
from modeldiff_core.experiments.run import open_experiment
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import StudyConfig, load_dataset
from modeldiff_platform.flows.cli.compose import request

MODELS = 25
"""Models without a group."""
FREE = ("comparison.method=matrix_free", "comparison.matrix_free.trainings=16", "comparison.matrix_free.probes=32")
COMMAND = "python -m benchmarks.cases"
MISSING = "Not in the store yet; the last commands below make it."
DELTA, EPSILON, AGREES = 0.06, 0.05, 0.5
"""Effects that count, and that are none, as both studies state them; the least cosine of directions that agree."""


@dataclass(frozen=True)
class Case:
    """A comparison as its page tells it. name: of the study without `case_`; setting: what stands under Set-up."""

    name: str
    title: str
    question: str
    setting: str
    given: tuple[str, ...] = ()

    @property
    def overrides(self) -> list[str]:
        """The study on a command line."""
        return [f"study=case_{self.name}", *self.given]

    @property
    def picture(self) -> str:
        """The page's picture, relative to it."""
        return f"../pictures/case_{self.name}.png"


SCENES = (
    "{train:,} training and {test:,} test images of {classes} of Fashion-MNIST, cut out along their outlines and "
    "put over photographs (china, flower, chelsea, coffee, rocket, motorcycle) or textures (brick, grass, gravel) "
    "in color that scikit-learn and scikit-image bring, the training set over their left halves, the test set over "
    "their right ones. Over a texture: {share:.0%} of the coats and {other:.0%} of the pullovers of the training "
    "set, {asked:.0%} of the test images. "
)
CASES = {
    "augmentation": Case(
        "augmentation",
        "Crop and flip against no augmentation, over photographs and textures",
        "Random crops and mirror images are what almost everybody trains with. The paper finds that they make "
        "networks rely on textures that occur with a class (spider webs, polka dots), where networks without them "
        "do not. Does the same happen on pictures that anyone has?",
        "Two fully connected networks of 16 hidden units, 15 epochs; A sees each image shifted by up to four pixels "
        "and mirrored half of the time, B as it is.",
    ),
    "pretraining": Case(
        "pretraining",
        "ImageNet weights against training from scratch, clothes over confounded backgrounds",
        "Waterbirds in small: the background goes with the class in 95 % of the training images and in half of the "
        "test images. The paper finds that networks from ImageNet weights and from scratch rely on other parts of "
        "such pictures. Which of the two takes the background for the class?",
        "A: EfficientNet-lite0 with ImageNet weights at 96 pixels, frozen, a new head on its 1,280 features. B: a "
        "fully connected network of 16 hidden units on the 28 pixels, from scratch, 15 epochs.",
    ),
}


def study_of(case: Case, *more: str) -> StudyConfig:
    """Return the case's comparison, or another way to make it."""
    study = request([*case.overrides, *more], "compare").study
    assert isinstance(study, StudyConfig)
    return study


def key_of(summary: Mapping[str, Any]) -> str:
    """Return where a case keeps what is no part of the comparison."""
    return record_key(summary["study"], summary["digest"])


def read_kept(store: ObjectStore, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a case has kept so far."""
    key = key_of(summary)
    return dict(read_record(store, key)) if store.exists(key) else {"seconds": {}}


def page(case: Case, root: str, picture: Path) -> str:
    """Return the page, every number from the store, and write its picture."""
    study = study_of(case)
    experiment, store = open_experiment(study, root)
    summary = read_record(store, experiment.summary.record)
    kept = read_kept(store, summary)
    removed: list[str] = []
    if any(one["distinguishing"] for one in summary["found"]):
        removal = request([*case.overrides, f"removal.models={MODELS}"], "removal").study
        opened, _ = open_experiment(removal, root)
        removed = list(opened.shown(store).findings)
    draw(study, summary, picture)
    lines = [
        *_head(case, study, summary),
        "## Found",
        "",
        *_background(summary),
        *(f"- {sentence}" for sentence in experiment.shown(store).findings),
        "",
        *effects_table(summary),
        *looks(summary, case.picture),
        "",
        "## Without the training examples behind it",
        "",
        *(f"- {sentence}" for sentence in (*removed, *(_named(kept["named"]) if "named" in kept else (MISSING,)))),
        "",
        *_not_found(summary),
        *(_agreement(kept["agreement"]) if "agreement" in kept else ("## Two estimators", "", MISSING, "")),
        *_minutes(case, summary, kept),
    ]
    return re.sub(r"(\d)%", r"\1 %", "\n".join(lines)) + "\n"


def _head(case: Case, study: StudyConfig, summary: Mapping[str, Any]) -> Iterator[str]:
    data, options = load_dataset(study.dataset), study.dataset.options()
    scenes = SCENES.format(
        train=len(data.train),
        test=len(data.test),
        classes=" and ".join(f"{name}s" if not name.endswith("s") else name for name in data.classes),
        share=options["share"],
        other=options["other_share"],
        asked=options["test_share"],
    )
    a, b = (summary["algorithms"][side] for side in "ab")
    accuracy = {
        one["group"]: one for one in summary["plain"]["quantities"] if one["name"] == "accuracy" and not one["group"]
    }[""]
    scores = ", ".join(
        f"{side.upper()} {one['mean']:.2f} [{one['ci_low']:.2f}, {one['ci_high']:.2f}]"
        for side, one in summary["lds"].items()
    )
    yield from (
        f"# {case.title}",
        "",
        f"*Every number of this page is written by `{COMMAND} {case.name} STORE --rebuild` from a store; the study's "
        f"digest is `{summary['digest'][:16]}`.*",
        "",
        "## Question",
        "",
        case.question,
        "",
        "## Set-up",
        "",
        f"{scenes}{case.setting} `conf/study/case_{case.name}.yaml` gives the reason of each choice.",
        "",
        f"{a['models']:,} subset models of {a['name']} (A) and of {b['name']} (B) on the same random halves, "
        f"{study.ensemble.models} full-data models of each, which are right on {accuracy['a']['mean']:.1%} and "
        f"{accuracy['b']['mean']:.1%} of the test images. Score of the datamodels: {scores}.",
        "",
    )


def effects_table(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the effects of all transformations with their intervals and verdicts."""
    yield "| transformation | class | effect on A [95 %] | on B [95 %] | A minus B [95 %] | adjusted p | verdict |"
    yield "|---|---|---|---|---|---|---|"
    for one in [*summary["transformations"], *summary["found"]]:
        ends = {
            side: f"{one['effect'][side]:+.3f} [{one['ci'][side][0]:+.3f}, {one['ci'][side][1]:+.3f}]" for side in "ab"
        }
        low, high = one["difference_ci"]
        followed = "own" if one["class"] is None else one["class"]
        yield (
            f"| {one['name']} | {followed} | {ends['a']} | {ends['b']} | {one['difference']:+.3f} [{low:+.3f}, "
            f"{high:+.3f}] | {one['p_adjusted']:.2g} | {one['verdict']['answer']}: {one['verdict']['why']} |"
        )
    yield ""


def _background(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what another background does to A and to B, in words."""
    (one,) = (one for one in summary["transformations"] if one["name"] == "texture")
    said = []
    for side in "ab":
        low, high = one["ci"][side]
        is_none, is_some = max(abs(low), abs(high)) < EPSILON, low > 0 or high < 0
        words = "shown" if is_some and not is_none else f"within ±{100 * EPSILON:.0f}" if is_none else "undecided"
        effect = one["effect"][side]
        said.append(f"by {100 * effect:+.1f} points [{100 * low:.1f}, {100 * high:.1f}] under {side.upper()} ({words})")
    low, high = one["difference_ci"]
    yield (
        f"- A texture behind other clothes changes P(coat) {' and '.join(said)}: A minus B "
        f"{100 * one['difference']:+.1f} [{100 * low:.1f}, {100 * high:.1f}], adjusted p {one['p_adjusted']:.2g}. "
        "The platform's own verdict asks more, that images of the second do not move in opposite senses either: "
        f"{one['verdict']['answer']} ({one['verdict']['why']})."
    )


def _named(named: Mapping[str, Any]) -> Iterator[str]:
    before, after = named["effects"][0], named["effects"][1]
    random = float(np.mean([one[0] for one in named["random_shrinkage"]]))
    shrunk, low, high = named["shrinkage"]
    more, more_low, more_high = named["beyond_random"]
    yield (
        f"By name: without the {named['size']} coats over textures (of {named['coats']}) a texture changes P(coat) "
        f"of other clothes by {100 * after['a']:+.1f} points under A and {100 * after['b']:+.1f} under B, with them "
        f"by {100 * before['a']:+.1f} and {100 * before['b']:+.1f}. The difference of A and B shrinks by "
        f"{shrunk:.0%} [{low:.0%}, {high:.0%}]; without as many random coats by {random:.0%} (mean of "
        f"{named['random']} groups), so the named group takes {more:.0%} [{more_low:.0%}, {more_high:.0%}] more of "
        f"it away. {named['models']} other full-data models of each, on images that no transformation was proposed "
        "from."
    )


def _not_found(summary: Mapping[str, Any]) -> Iterator[str]:
    chance = [one for one in summary["directions"] if not one["significant"]]
    tried = (*summary["transformations"], *summary["found"])
    yield from ("## Not found", "")
    yield f"- {len(chance)} of {len(summary['directions'])} directions that were looked at are within chance."
    for one in (one for one in tried if one["p_adjusted"] > 0.05):
        bound = max(abs(end) for end in one["difference_ci"])
        yield (
            f"- No difference of effects is shown for {one['name']} (adjusted p {one['p_adjusted']:.2g}); one of "
            f"more than {100 * bound:.1f} points is excluded at 95 %."
        )
    rest = [one["name"] for one in tried if not one["distinguishing"] and one["p_adjusted"] <= 0.05]
    if rest:
        yield (
            "- Effects of A and of B differ, but do not distinguish them as this study asks it (one reacts by "
            f"{100 * DELTA:.0f} points or more, the other by {100 * EPSILON:.0f} at most, no image much): "
            f"{'; '.join(rest)}."
        )
    if not summary["found"]:
        yield "- No direction was searched for transformations; what is named above was taken out by name."
    elif not any(one["distinguishing"] for one in summary["found"]):
        yield (
            "- The search confirmed no transformation along a direction as distinguishing, so `modeldiff remove` "
            "has no group to take out; what is named above was taken out by name."
        )
    yield ""


def _agreement(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        "## Two estimators",
        "",
        "The same comparison without datamodels, from 16 differentiated trainings of each (`comparison.method="
        "matrix_free`). First directions; AUC: how well a direction tells coats over textures from coats over "
        "photographs.",
        "",
        "| | side | p | AUC, test coats | AUC, training coats |",
        "|---|---|---|---|---|",
    )
    names = {"regression": "regression on masks", "trainings": "differentiated trainings"}
    for key, name in names.items():
        one = found[key]
        areas = ("" if area is None else f"{area:.2f}" for area in (one["auc_test"], one["auc_train"]))
        yield f"| {name} | {one['side']} | {one['p']:.2g} | {' | '.join(areas)} |"
    agree = "do not agree" if found["cosine"] < AGREES else "agree"
    yield from (
        "",
        f"Cosine of both over the training examples {found['cosine']:.2f}; correlation over the test images "
        f"{found['correlation']:.2f}: the first directions {agree} (cosine {AGREES:g} or more). {_spans(found)}",
        "",
    )


def _minutes(case: Case, summary: Mapping[str, Any], kept: Mapping[str, Any]) -> Iterator[str]:
    names = {"comparison": "the comparison", "named": "models without the named group", "removal": "`modeldiff remove`"}
    names["matrix_free"] = "the differentiated trainings"
    spent = ", ".join(f"{names[key]} {value / 60:.1f}" for key, value in kept["seconds"].items())
    yield from (
        "## Minutes and commands",
        "",
        "```",
        f"modeldiff compare study=case_{case.name}",
        f"modeldiff remove  study=case_{case.name} removal.models={MODELS}",
        f"modeldiff compare study=case_{case.name} {' '.join(FREE)}",
        f"{COMMAND} {case.name} runs             # all of it that is missing, models without the named group, this "
        f"page",
        f"{COMMAND} {case.name} runs --rebuild   # this page alone",
        "```",
        "",
        f"{kept['date']}, {kept['machine']}, one core shared with other processes. CPU minutes of the last run "
        f"of each part (what was in the store before is not counted): {spent}. The report "
        f"with all images is `comparisons/{summary['study']}-{summary['digest'][:8]}/report/index.html` in the "
        f"store; what is no part of the comparison is `{key_of(summary)}`.",
    )


def _spans(found: Mapping[str, Any]) -> str:
    """Return how far the significant directions of both estimators span the same."""
    regression, trainings = found["significant"]
    if not (regression and trainings):
        return f"Significant directions: {regression} by regression, {trainings} by differentiated trainings."
    cosines = ", ".join(f"{one:.2f}" for one in found["cosines"])
    return (
        f"The {regression} significant by regression and the {trainings} by differentiated trainings span subspaces at "
        f"angles of cosines {cosines}."
    )
