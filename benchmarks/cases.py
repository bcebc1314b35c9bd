"""Run the comparisons of case_augmentation and case_pretraining in full, and write their pages from the store.

    OMP_NUM_THREADS=1 python -m benchmarks.cases augmentation STORE             # all that is missing, then the page
    OMP_NUM_THREADS=1 python -m benchmarks.cases augmentation STORE --rebuild   # the page and its picture alone

Rules, fixed before any result on the studies' own data (shares, augmentation and settings were chosen on data of
another seed). *Comparison*: the study as it ships. *Removal*: where the search confirms a difference,
`modeldiff remove` with MODELS models. *The named group*: all training coats over a texture are taken out, and RANDOM
times as many coats drawn from all; MODELS full-data models of each algorithm, of numbers that the comparison did not
use, on the half of the test images that the search does not propose from; by how much the difference of A's and B's
effects of the study's transformation `texture` shrinks, and by how much more than without random coats, with two-way
intervals over models and images. *Two estimators*: `comparison.method=matrix_free` with 16 trainings of each and 8
probes; |cosine| of its first direction over training examples with the regression's first, correlation of both over
test images, and the area under the ROC curve of each for the background of the test coats and of the training coats.
What is not found is said to be.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.case_sgd_noise import machine
from modeldiff_core.evaluation.removal import beyond_random, difference, shrinkage
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.identity import generator
from modeldiff_core.plan import Bar
from modeldiff_core.statistics import Interval
from modeldiff_core.store import ObjectStore, read_record, read_tensors
from modeldiff_core.store.records import write_record
from modeldiff_core.study import StudyConfig, load_dataset, trainings_of
from modeldiff_core.training import Execution, train_ensemble
from modeldiff_core.transformations.search import image_halves, measure_tests
from modeldiff_platform.flows.cli.compose import request

MODELS, RANDOM, FIRST, LABEL, LEVEL = 25, 5, 1000, 1, 0.95
"""Models without a group, random groups, number of the first model, the class of coats, level of intervals."""
FREE = ("comparison.method=matrix_free", "comparison.matrix_free.trainings=16", "comparison.matrix_free.probes=8")
COMMAND = "python -m benchmarks.cases"
MISSING = "Not in the store yet; the last commands below make it."


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


def run_all(case: Case, root: str) -> None:
    """Make what the store lacks, the cheapest to lose first, and note what was spent."""
    study = study_of(case)
    spent = {"comparison": _timed(study, root)}
    experiment, store = open_experiment(study, root)
    summary = read_record(store, experiment.summary.record)
    kept = read_kept(store, summary)
    if "named" not in kept:
        began = process_time()
        kept["named"] = without_named(study)
        spent["named"] = process_time() - began
        keep(store, summary, kept, spent)
    if any(one["distinguishing"] for one in summary["found"]):
        removal = request([*case.overrides, f"removal.models={MODELS}"], "removal").study
        spent["removal"] = _timed(removal, root)
    spent["matrix_free"] = _timed(study_of(case, *FREE), root)
    kept["agreement"] = agreement(case, root)
    keep(store, summary, kept, spent)


def _timed(study: Any, root: str) -> float:
    began = process_time()
    print(*run_study(study, root, progress=Bar()).findings, sep="\n", flush=True)
    return process_time() - began


def key_of(summary: Mapping[str, Any]) -> str:
    """Return where a case keeps what is no part of the comparison."""
    return f"cases/{summary['study']}-{summary['digest'][:8]}.json"


def read_kept(store: ObjectStore, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a case has kept so far."""
    key = key_of(summary)
    return dict(read_record(store, key)) if store.exists(key) else {"seconds": {}}


def keep(store: ObjectStore, summary: Mapping[str, Any], kept: dict[str, Any], spent: Mapping[str, float]) -> None:
    """Write what a case keeps; seconds of a part are the most that any run of it took, since a later one only reads."""
    known = kept.get("seconds", {})
    kept["seconds"] = {**known, **{name: max(value, known.get(name, 0.0)) for name, value in spent.items()}}
    kept |= {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    kept.pop("checksum", None)
    write_record(store, key_of(summary), kept)


def without_named(study: StudyConfig) -> dict[str, Any]:
    """Return what becomes of the effect of `texture` without the coats over textures, and without random coats."""
    data, (test,) = load_dataset(study.dataset), [one for one in study.transformations if one.name == "texture"]
    coats = np.flatnonzero(data.train.labels == LABEL)
    named = coats[data.train.metadata["background"][coats] == 1]
    draws = generator("case random coats", study.dataset.options().get("seed", 0))
    groups = [np.array([], int), named, *(draws.permutation(coats)[: len(named)] for _ in range(RANDOM))]
    half = image_halves(len(data.test), study.search.seed)[1]
    found: list[dict[str, np.ndarray]] = []
    for group in groups:
        masks = np.ones((MODELS, len(data.train)), bool)
        masks[:, group] = False
        changes = {}
        for side, training in zip("ab", trainings_of(study, data), strict=True):
            task = training.task()
            models, _ = train_ensemble(task, range(FIRST, FIRST + MODELS), Execution(), masks)
            (change,) = measure_tests(models, task.targets.select(half), [test], study.effects, (1.0,))
            changes[side] = change.probability[0]
        found.append(changes)
    differences = [difference(one) for one in found]
    return {
        "size": len(named),
        "coats": len(coats),
        "models": MODELS,
        "random": RANDOM,
        "effects": [{side: float(one[side].mean()) for side in "ab"} for one in found],
        "shrinkage": _ends(shrinkage(differences[0], differences[1], LEVEL)),
        "random_shrinkage": [_ends(shrinkage(differences[0], one, LEVEL)) for one in differences[2:]],
        "beyond_random": _ends(beyond_random(differences[0], differences[1], differences[2:], LEVEL)),
    }


def _ends(one: Interval) -> list[float]:
    return [one.mean, one.low, one.high]


@dataclass(frozen=True)
class Leading:
    """The first direction of a comparison: its side, p, weights of training examples and places of test images."""

    side: str
    p: float
    train: np.ndarray
    targets: np.ndarray


def leading(study: StudyConfig, root: str) -> Leading:
    """Return the first direction of a finished comparison."""
    experiment, store = open_experiment(study, root)
    first = read_record(store, experiment.summary.record)["directions"][0]
    found = experiment.comparison.directions  # type: ignore[attr-defined]
    arrays = read_tensors(store, found.record, {"directions": found.digest}).arrays
    side, index = first["side"], first["index"]
    return Leading(
        side, first["p_adjusted"], arrays[f"{side}.directions"][index], arrays[f"{side}.projections"][:, index]
    )


def agreement(case: Case, root: str) -> dict[str, Any]:
    """Return how far the first directions of both estimators agree, and what each tells of the background."""
    study = study_of(case)
    both = {"regression": leading(study, root), "trainings": leading(study_of(case, *FREE), root)}
    data = load_dataset(study.dataset)
    one, other = both["regression"], both["trainings"]
    cosine = float(one.train @ other.train / (np.linalg.norm(one.train) * np.linalg.norm(other.train)))
    return {
        "cosine": abs(cosine),
        "correlation": abs(float(np.corrcoef(one.targets, other.targets)[0, 1])),
        **{
            name: {
                "side": found.side,
                "p": found.p,
                "auc_test": _area(data.test, found.targets),
                "auc_train": _area(data.train, found.train),
            }
            for name, found in both.items()
        },
    }


def _area(examples: Any, values: np.ndarray) -> float | None:
    """Return the AUC for the background among coats, whichever sign; None where all have the same."""
    among = examples.labels == LABEL
    textured = examples.metadata["background"][among]
    if textured.min() == textured.max():
        return None
    area = float(roc_auc_score(textured, values[among]))
    return max(area, 1 - area)


def draw(study: StudyConfig, summary: Mapping[str, Any], to: Path) -> None:
    """Write test images at both ends of the first direction and its training images, one row each."""
    data, first = load_dataset(study.dataset), summary["directions"][0]
    chosen = (data.test, "top_targets"), (data.test, "bottom_targets"), (data.train, "top_train")
    rows = [part.images[first[name]] for part, name in chosen]
    width = max(len(row) for row in rows)
    lines = []
    for row in rows:
        padded = np.pad(row, ((0, width - len(row)), (1, 1), (1, 1), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(padded), axis=1))
    sheet = np.kron(np.concatenate(lines), np.ones((2, 2, 1), np.uint8))
    to.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet[..., 0] if sheet.shape[2] == 1 else sheet).save(to, optimize=True)


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
        *_looks(case, summary),
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


def _looks(case: Case, summary: Mapping[str, Any]) -> Iterator[str]:
    first = summary["directions"][0]
    words = (
        "stands out from chance" if first["significant"] else "is within chance, so that what it shows may be nothing"
    )
    yield from (
        "## What it looks like",
        "",
        f"The first direction (adjusted p {first['p_adjusted']:.2g}) {words}. Test images at one end, test images at "
        "the other end, training images of the largest weights:",
        "",
        f"![Images of the first direction]({case.picture})",
        "",
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


DELTA, EPSILON, AGREES = 0.06, 0.05, 0.5
"""Effects that count, and that are none, as both studies state them; the least cosine of directions that agree."""


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
        f"{found['correlation']:.2f}: the first directions {agree} (cosine {AGREES:g} or more).",
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


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("store")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--rebuild", action="store_true", help="write the page only")
    parser.add_argument("--set", nargs="*", default=[], help="overrides of the study, to try this out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = CASES[asked.case]
    case = Case(known.name, known.title, known.question, known.setting, tuple(asked.set))
    if not asked.rebuild:
        run_all(case, asked.store)
    to = asked.page or Path(f"docs/cases/{case.name}.md")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(page(case, asked.store, (to.parent / case.picture).resolve()), "utf-8")


if __name__ == "__main__":
    main()
