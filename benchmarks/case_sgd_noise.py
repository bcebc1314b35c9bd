"""Run the comparison of noisy with quiet SGD on Fashion-MNIST, test its trend over three levels, and write its page.

    OMP_NUM_THREADS=1 python -m benchmarks.case_sgd_noise STORE [--page docs/cases/sgd_noise.md]   # all that is missing
    python -m benchmarks.case_sgd_noise STORE --rebuild   # the page alone, from the store

Rules, fixed before any result. The study is conf/study/case_sgd_noise.yaml with its contrast, search and tests as they
ship; its middle level is the algorithm A of case_sgd_noise_middle. *Trend*: FRESH full-data models of each of the three
levels, of numbers that the comparison did not use, on the half of the test images that the search does not propose
from. Measures: accuracy, and the change of the probability of each image's class under every transformation of the
study and under every one that its search confirmed, at full intensity, each a mean over images, so that models are the
units. Jonckheere's test of the three levels in the order of learning rate over batch size, two-sided, Holm over all
measures at .05; the slope is per tenfold of that ratio with its 95 % interval. A measure is said to rise or fall
where Holm's p is .05 or less, and to be monotone where the three means are ordered as well. *Removal*: only where the
comparison confirms a difference (a significant direction along which the search finds a transformation that
distinguishes): `modeldiff remove` with 10 models without each group. What is not found is said to be not found.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from benchmarks.case_records import machine, record_key
from benchmarks.direction_picture import draw, looks
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress
from modeldiff_core.statistics import holm, trend
from modeldiff_core.store import read_record
from modeldiff_core.store.records import write_record
from modeldiff_core.study import StudyConfig, load_dataset, trainings_of
from modeldiff_core.training import Execution, Task, train_ensemble
from modeldiff_core.transformations import TransformationTest
from modeldiff_core.transformations.search import image_halves, measure_tests
from modeldiff_platform.flows.cli.compose import request

STUDY, MIDDLE = "case_sgd_noise", "case_sgd_noise_middle"
FRESH, FIRST, LEVEL = 30, 1000, 0.05
"""Full-data models of each level for the trend, the number of the first of them, and the level of its tests."""
REMOVED = "removal.models=10"
PAGE, PICTURE = Path("docs/cases/sgd_noise.md"), "../pictures/case_sgd_noise.png"
COMMAND = "python -m benchmarks.case_sgd_noise"


SMALLER: list[str] = []
"""Overrides of the studies, to try this out."""


def study_of(name: str) -> StudyConfig:
    """Return a shipped study."""
    study = request([f"study={name}", *SMALLER], "compare").study
    assert isinstance(study, StudyConfig)
    return study


def levels() -> list[tuple[str, float, Task]]:
    """Return the levels, the quietest first: name, learning rate over batch size, and what is trained."""
    studies = study_of(STUDY), study_of(MIDDLE)
    chosen = (studies[0], 1), (studies[1], 0), (studies[0], 0)
    out = []
    for study, side in chosen:
        config = (study.algorithm_a, study.algorithm_b)[side]
        ratio = config.recipe["learning_rate"] / config.recipe["batch_size"]
        out.append((config.name, ratio, trainings_of(study, load_dataset(study.dataset))[side].task()))
    return out


def tests_of(study: StudyConfig, summary: dict[str, Any]) -> list[TransformationTest]:
    """Return the study's transformations, and those that its search confirmed."""
    found = [
        TransformationTest(
            f"found: {one['name']}", one["kind"], one["target_class"], (1.0,), dict(one.get("parameters") or {})
        )
        for one in summary["found"]
        if one["distinguishing"]
    ]
    return [*study.transformations, *found]


def measured(study: StudyConfig, summary: dict[str, Any]) -> dict[str, Any]:
    """Train fresh models of every level and return each measure of each model, with the test of its trend."""
    tests, began = tests_of(study, summary), process_time()
    names = ["accuracy", *(test.name for test in tests)]
    values: dict[str, list[list[float]]] = {name: [] for name in names}
    known = levels()
    for _, _, task in known:
        trained, logits = train_ensemble(task, range(FIRST, FIRST + FRESH), Execution())
        half = image_halves(len(task.targets), study.search.seed)[1]
        images = task.targets.select(half)
        right = logits[:, half].argmax(-1) == images.labels
        values["accuracy"].append([float(one) for one in right.mean(1)])
        for test, change in zip(tests, measure_tests(trained, images, tests, study.effects), strict=True):
            values[test.name].append([float(one) for one in change.probability[-1].mean(-1)])
    places = [float(np.log10(ratio)) for _, ratio, _ in known]
    found = [trend([np.array(group) for group in values[name]], places) for name in names]
    adjusted = holm(np.array([one.p for one in found]))
    return {
        "levels": [[name, ratio] for name, ratio, _ in known],
        "models": FRESH,
        "seconds": process_time() - began,
        "measures": [
            {"name": name, "values": values[name], **asdict(one), "p_adjusted": float(p)}
            for name, one, p in zip(names, found, adjusted, strict=True)
        ],
    }


def run_all(root: str) -> None:
    """Make what the store lacks: the comparison, the trend, and where something is confirmed the removal."""
    study, began = study_of(STUDY), process_time()
    shown = run_study(study, root, progress=NoProgress())
    spent = process_time() - began
    experiment, store = open_experiment(study, root)
    print(*shown.findings, f"{spent:.0f} CPU seconds", sep="\n", flush=True)
    summary = read_record(store, experiment.summary.record)
    run_study(study_of(MIDDLE), root, progress=NoProgress())
    key = trend_key(summary)
    if not store.exists(key):
        made = {"machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "comparison_seconds": spent}
        write_record(store, key, {**measured(study, summary), **made})
    if confirmed(summary):
        removal = request([f"study={STUDY}", REMOVED, *SMALLER], "removal").study
        print(*run_study(removal, root, progress=NoProgress()).findings, sep="\n", flush=True)


def trend_key(summary: dict[str, Any]) -> str:
    """Return where the trend of a comparison is kept."""
    return record_key(summary["study"], summary["digest"])


def confirmed(summary: dict[str, Any]) -> bool:
    """Return whether the search confirmed a difference."""
    return any(one["distinguishing"] for one in summary["found"])


def page(root: str, picture: Path) -> str:
    """Return the page, every number from the store, and write its picture."""
    study = study_of(STUDY)
    experiment, store = open_experiment(study, root)
    summary, kept = (
        read_record(store, experiment.summary.record),
        read_record(store, trend_key(read_record(store, experiment.summary.record))),
    )
    findings = list(experiment.shown(store).findings)
    removed = removal_lines(root) if confirmed(summary) else []
    draw(study, summary, picture)
    middle, _ = open_experiment(study_of(MIDDLE), root)
    lines = [*_lines(study, summary, kept, findings), *_middle(summary, read_record(store, middle.summary.record))]
    return "\n".join([*lines, *_last_lines(summary, kept, removed)]) + "\n"


def removal_lines(root: str) -> list[str]:
    """Return what models without the groups behind confirmed differences show."""
    study = request([f"study={STUDY}", REMOVED, *SMALLER], "removal").study
    experiment, store = open_experiment(study, root)
    return list(experiment.shown(store).findings)


def _lines(study: StudyConfig, summary: dict[str, Any], kept: dict[str, Any], findings: list[str]) -> Iterator[str]:
    a, b = (summary["algorithms"][side] for side in "ab")
    yield from (
        "# Noisy against quiet SGD on Fashion-MNIST",
        "",
        f"*Every number of this page is written by `{COMMAND} STORE --rebuild` from a store; the study's digest is "
        f"`{summary['digest'][:16]}`.*",
        "",
        "## Question",
        "",
        "Two ways to train the same small convolutional net: large steps on small batches (much noise), or small steps "
        "on large batches (little). The paper compares them on CIFAR-10 and reports that quiet SGD relies on "
        "local marks more, the more so the less noise there is. Is there such a difference on a data set that anyone "
        "has, and does it follow the amount of noise?",
        "",
        "## Set-up",
        "",
        f"Fashion-MNIST, {study.dataset.options()['n_train']:,} training and "
        f"{study.dataset.options()['n_test']:,} test images of ten classes; the net and everything else as in "
        "`conf/study/case_sgd_noise.yaml`, which gives the reason of each choice. Levels of noise:",
        "",
        "| level | learning rate / batch size | accuracy of full-data models, mean |",
        "|---|---|---|",
    )
    accuracy = kept["measures"][0]["values"]
    for (name, ratio), values in zip(kept["levels"], accuracy, strict=True):
        yield f"| {name} | {ratio:.2g} | {np.mean(values):.3f} |"
    yield from (
        "",
        f"{a['models']:,} subset models of {a['name']} (A) and of {b['name']} (B) on the same random halves, "
        f"{study.ensemble.models} full-data models of each. Score of the datamodels: "
        + ", ".join(
            f"{side.upper()} {one['mean']:.2f} [{one['ci_low']:.2f}, {one['ci_high']:.2f}]"
            for side, one in summary["lds"].items()
        )
        + ".",
        "",
        "## Found",
        "",
        *(f"- {sentence}" for sentence in findings),
        "",
        "| transformation | effect on A [95 %] | on B [95 %] | adjusted p of the difference | distinguishing |",
        "|---|---|---|---|---|",
    )
    for one in [*summary["transformations"], *summary["found"]]:
        ends = {
            side: f"{one['effect'][side]:+.3f} [{one['ci'][side][0]:+.3f}, {one['ci'][side][1]:+.3f}]" for side in "ab"
        }
        yield (
            f"| {one['name']}, {one['intensity']:g} | {ends['a']} | {ends['b']} | {one['p_adjusted']:.2g} | "
            f"{'yes' if one['distinguishing'] else 'no'} |"
        )


def _middle(summary: dict[str, Any], middle: dict[str, Any]) -> Iterator[str]:
    """Yield how much differs between each noisier level and the lowest."""
    yield from (
        "",
        "By the datamodels of subset models, against low noise:",
        "",
        "| level | all that differs, of a datamodel's squared length [95 %] | how strongly margins react | significant "
        "directions | score |",
        "|---|---|---|---|---|",
    )
    for one in (middle, summary):
        total = one["total"]
        significant = sum(direction["significant"] for direction in one["directions"])
        yield (
            f"| {one['algorithms']['a']['name']} | {100 * total['value']:.0f} % [{100 * total['low']:.0f}, "
            f"{100 * total['high']:.0f}] | "
            f"{one['reaction']['middle']:.2f} times | {significant} of {len(one['directions'])} | "
            f"{one['lds']['a']['mean']:.2f} |"
        )


def _last_lines(summary: dict[str, Any], kept: dict[str, Any], removed: list[str]) -> Iterator[str]:
    yield from ("", *looks(summary, PICTURE))
    yield from _trend_lines(kept)
    yield from _in_short(kept)
    if removed:
        yield from ("", "## Without the training examples behind it", "", *(f"- {sentence}" for sentence in removed))
    yield from _not_found(summary, kept)
    yield from (
        "## Minutes and commands",
        "",
        "```",
        f"modeldiff compare study={STUDY}",
        f"modeldiff compare study={MIDDLE}",
        f"{COMMAND} runs                   # both if they are missing, the trend, this page",
        f"{COMMAND} runs --rebuild         # this page alone",
        "```",
        "",
        f"{kept['date']}, {kept['machine']}, one core shared with other processes: the comparison's last run took "
        f"{kept['comparison_seconds'] / 60:.1f} CPU minutes (what was in the store before is not counted), the fresh "
        f"models of the trend {kept['seconds'] / 60:.1f}. The report with all images is "
        f"`comparisons/{summary['study']}-{summary['digest'][:8]}/report/index.html` in the store; the trend is "
        f"`{trend_key(summary)}`.",
    )


def _trend_lines(kept: dict[str, Any]) -> Iterator[str]:
    names = [name for name, _ in kept["levels"]]
    yield from (
        "",
        "## Does it follow the noise?",
        "",
        f"{kept['models']} other full-data models of each level, on images that no transformation was proposed from; "
        "mean over models of the accuracy and of the change of the probability of an image's own class; Jonckheere's "
        "test over the three levels with models as units, Holm over the rows. Share: of pairs of models of different "
        "levels, those in which the noisier one's measure is larger. Slope: per tenfold of learning rate over batch.",
        "",
        f"| measure | {' | '.join(names)} | share | adjusted p | slope [95 %] | trend |",
        "|---|" + "---|" * (len(names) + 4),
    )
    for one in kept["measures"]:
        means = [float(np.mean(values)) for values in one["values"]]
        told = "none shown"
        if one["p_adjusted"] <= LEVEL:
            order = np.diff(means)
            told = ("rises" if one["z"] > 0 else "falls") + (
                ", monotone" if (order > 0).all() or (order < 0).all() else ", not monotone"
            )
        yield (
            f"| {one['name']} | {' | '.join(f'{mean:+.3f}' for mean in means)} | {one['share']:.2f} | "
            f"{one['p_adjusted']:.2g} | {one['slope']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}] | {told} |"
        )


def _in_short(kept: dict[str, Any]) -> Iterator[str]:
    """Yield how many transformations follow the noise, and which way."""
    changes = kept["measures"][1:]
    shown = [one for one in changes if one["p_adjusted"] <= LEVEL]
    steps = [np.diff([float(np.mean(values)) for values in one["values"]]) for one in shown]
    monotone = sum(bool((step > 0).all() or (step < 0).all()) for step in steps)
    falls = sum(one["z"] < 0 for one in shown)
    yield from (
        "",
        f"Of {len(changes)} transformations {len(shown)} follow the noise beyond chance, {monotone} of them with all "
        f"three means in order: in {falls} the probability of an image's own class falls further the noisier the "
        f"training, in {len(shown) - falls} less far. The paper follows other classes (dog, truck) under its marks and "
        "finds quiet SGD to react more; own classes on gray clothes are another measure, so this neither repeats nor "
        "contradicts it.",
    )


def _not_found(summary: dict[str, Any], kept: dict[str, Any]) -> Iterator[str]:
    flat = [one["name"] for one in kept["measures"] if one["p_adjusted"] > LEVEL]
    chance = [one for one in summary["directions"] if not one["significant"]]
    yield from ("", "## Not found", "")
    yield f"- {len(chance)} of {len(summary['directions'])} directions that were looked at are within chance."
    if flat:
        yield f"- No trend is shown for {', '.join(flat)}."
    if not confirmed(summary):
        yield (
            "- The search confirmed no transformation along a direction as distinguishing, so there is no group of "
            "training examples behind one, and nothing was removed."
        )
    yield ""


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--rebuild", action="store_true", help="write the page only")
    parser.add_argument("--set", nargs="*", default=[], help="overrides of the studies, to try this out")
    given = parser.parse_args()
    SMALLER.extend(given.set)
    torch.set_num_threads(1)
    if not given.rebuild:
        run_all(given.store)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    picture = (given.page.parent / PICTURE).resolve()
    given.page.write_text(page(given.store, picture), "utf-8")


if __name__ == "__main__":
    main()
