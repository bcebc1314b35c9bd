"""Run a battery of planted differences and null studies: which plants are found, and the rate of false alarms.

    python -m benchmarks.planted [--out FILE] [--only KIND ...] [--data digits fashion] [--seeds 2] [--first 0]
                                 [--nulls 10] [--ways ridge-pca ridge-crossfit contrast ...] [--kept DIR] [--table]

The rule, fixed before any result: a plant is *found* if one of the first three significant directions of side A−B (by
index) separates, among the test images of the plant's class, those that carry the cue from those that do not with an
area under the ROC curve of at least 0.9, by its signed projection, either sign. Of a kind with several cues the first
three directions must find all, or three if there are more. A *false alarm* is a null study with any significant
direction on either side. Significant: Holm over both sides' directions, at most 0.05, as in every study. The way
'contrast' has no mirror images; its rule is in benchmarks/planted_contrast.py.

Null studies compare A with A under other seeds, on data that carry a plant: with A's masks (paired) and with others.
One JSON line per finished study is appended to --out; studies in that file are not computed again.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks import planted_contrast
from benchmarks.planted_contrast import Contrasted, contrasted, described, side_by_side
from benchmarks.planted_kinds import DATASETS, KINDS, LARGE, SMALL, Sample, sample
from benchmarks.planted_search import ensembles, searched
from benchmarks.planted_ways import COMPONENTS, PERMUTATIONS, Margins, Outcome, compare
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

MODELS, LAUNCH = {SMALL: 800, LARGE: 1000}, 100
FIRST, AUC = 3, 0.9
CONTRAST, FREE = CONTRASTS = "contrast", "contrast-free"
STRENGTHS = 0.0, 0.01, 0.02, 0.04, 0.08, 1.0
RECIPES = {
    data: Sgd(network=Network("mlp", (32,)), epochs=epochs, learning_rate=rate, weight_decay=0.005)
    for data, epochs, rate in zip(DATASETS, (10, 10), (0.05, 0.02), strict=True)
}
Spec = dict[str, Any]


def margins(
    recipe: Sgd, sample: Sample, which: str, models: int, seed: int, subset_seed: int, kept: Path | None = None
) -> Margins:
    """Return masks and margins of subset models on the test images.

    Args:
        recipe: The algorithm.
        sample: The data.
        which: "a" or "b", whose training set is used.
        models: Number of models.
        seed: Seed of the algorithm.
        subset_seed: Seed of the subsets.
        kept: Folder in which the margins of each launch are kept for the next run.
    """
    train = sample.train_a if which == "a" else sample.train_b
    labels = torch.from_numpy(sample.test.labels)
    masks = SubsetSampler(len(train), 0.5, subset_seed).masks(range(models))
    parts = []
    for first in range(0, models, LAUNCH):
        numbers = range(first, min(first + LAUNCH, models))
        file = kept / f"{which}.{seed}.{subset_seed}.{numbers.start}-{numbers.stop}.npy" if kept else None
        if file is None or not file.exists():
            trained = recipe.train(train, 10, masks[numbers.start : numbers.stop], numbers, seed, Execution(stack=50))
            parts.append(correct_class_margin(torch.from_numpy(trained.logits(sample.test.images)), labels).numpy())
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(part := file.with_suffix(".part.npy"), parts[-1])
                part.rename(file)
        else:
            parts.append(np.load(file))
    return Margins(masks, np.concatenate(parts))


def study(
    spec: Spec, ways: list[str], models: int | None = None, kept: Path | None = None, search: bool = True
) -> dict[str, Any]:
    """Train, compare in every way and judge; return the record that the tables are made from."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        folder = kept_of(kept, spec["data"], spec["kind"], spec["seed"])
        return _study(spec, ways, models or MODELS[spec["data"]], folder, search)


def kept_of(kept: Path | None, data: str, kind: str | None, seed: int) -> Path | None:
    """Return the folder in which the margins of one sample are kept."""
    return kept / f"{data}-{kind}-{seed}".replace(" ", "_") if kept else None


def _study(spec: Spec, ways: list[str], models: int, kept: Path | None, search: bool) -> dict[str, Any]:
    began = time.process_time()
    made, recipe, null = sample(spec["data"], spec["kind"], spec["seed"]), RECIPES[spec["data"]], spec["null"]
    a = margins(recipe, made, "a", models, 1, spec["seed"], kept)
    if null is None:
        b = margins(recipe, made, "b", models, 1, spec["seed"], kept)
    else:
        b = margins(recipe, made, "a", models, 2, spec["seed"] + (0 if null == "paired" else 1_000_003), kept)
    trained = time.process_time()
    record: dict[str, Any] = {**spec, "accuracy": {n: float((y.margins > 0).mean()) for n, y in (("a", a), ("b", b))}}
    full_data = ensembles(recipe, made, 1) if null is None and search else None
    record |= {"models": models, "train_seconds": trained - began, "ensemble_seconds": time.process_time() - trained}
    record["ways"] = {}
    for way in ways:
        began = time.process_time()
        tested = contrasted(a, b, free=way == FREE) if way in CONTRASTS else compare(a, b, way)
        result = {**judged(tested, made), "seconds": time.process_time() - began}
        if full_data is not None:
            began, first = time.process_time(), leading(tested)
            along = searched(full_data, made, tested.directions[first], tested.projections[:, first])
            result["search"] = {**along, "seconds": time.process_time() - began}
        record["ways"][way] = result
    return record


def leading(tested: Outcome | Contrasted) -> list[int]:
    """Return the first significant directions of side A−B, by index; of a contrast those of either side, by rank."""
    if isinstance(tested, Contrasted):
        return planted_contrast.leading(tested, FIRST)
    return np.flatnonzero(tested.p_adjusted[0] <= 0.05)[:FIRST].tolist()


def judged(tested: Outcome | Contrasted, made: Sample) -> dict[str, Any]:
    """Return the results of one way: sizes, p, and the AUC of every direction for each cue.

    Directions are those of side A−B, and of a contrast all.
    """
    aucs = [
        [area(truth.carries[truth.among], projection[truth.among]) for projection in tested.projections.T]
        for truth in made.truths
    ]

    def hits(first: list[int]) -> int:
        return sum(any(row[i] >= AUC for i in first) for row in aucs)

    def found(first: list[int]) -> bool:
        return bool(aucs) and hits(first) >= min(len(aucs), FIRST)

    result = {
        "auc": np.round(aucs, 3).tolist(),
        "cues_found": hits(leading(tested)),
        "found": found(leading(tested)),
    }
    if isinstance(tested, Contrasted):
        of_a = planted_contrast.leading(tested, FIRST, of_a=True)
        return {**described(tested, made), **result, "found_of_a": found(of_a)}
    return {
        "difference": tested.difference.round(6).tolist(),
        "p": tested.p.round(5).tolist(),
        "p_adjusted": tested.p_adjusted.round(5).tolist(),
        "study_p": tested.study_p,
        "stability": tested.stability.round(3).tolist(),
        "noise": float(tested.noise),
        "significant": [int((row <= 0.05).sum()) for row in tested.p_adjusted],
        **result,
    }


def area(carries: np.ndarray, projection: np.ndarray) -> float:
    """Return the area under the ROC curve of a projection, for the better sign."""
    auc = float(roc_auc_score(carries, projection))
    return max(auc, 1 - auc)


def battery(only: list[str], data: list[str], seeds: int, nulls: int, first: int = 0) -> list[Spec]:
    """Return all studies: each kind on each data set for each seed from `first` on, and null studies of both designs.

    They are interleaved, so that an interrupted run leaves a balanced part.

    Args:
        only: Kinds to include, or "null"; empty for all.
        data: Data sets.
        seeds: Seeds of each kind.
        nulls: Null studies of each data set and design.
        first: The first seed.
    """
    plants: list[Spec] = [
        {"data": name, "kind": kind, "seed": seed, "null": None}
        for seed in range(first, first + seeds)
        for kind in KINDS
        for name in data
        if not only or kind in only
    ]
    kinds = list(KINDS)
    empty: list[Spec] = [
        {"data": name, "kind": kinds[seed % len(kinds)], "seed": 1000 + seed, "null": design}
        for seed in range(first, first + (nulls if not only or "null" in only else 0))
        for name in data
        for design in ("paired", "independent")
    ]
    placed = [((at + 0.5) / len(part), spec) for part in (plants, empty) for at, spec in enumerate(part)]
    return [spec for _, spec in sorted(placed, key=lambda one: one[0])]


def table(records: list[dict[str, Any]], ways: list[str]) -> str:
    """Return a Markdown table: plants found by each way and by the search for each kind, and false alarms."""
    plants, nulls = ([r for r in records if (r["null"] is None) == planted] for planted in (True, False))
    heads = [head for way in ways for head in (way, f"{way}, search")]
    lines = ["| planted | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]

    def cells(rows: list[dict[str, Any]]) -> str:
        return " | ".join(
            cell for way in ways for cell in (_share(rows, way, _found), _share(rows, way, _search_found))
        )

    for kind in KINDS:
        for name in DATASETS:
            rows = [r for r in plants if r["kind"] == kind and r["data"] == name]
            if rows:
                lines.append(f"| {kind}, {name} | {cells(rows)} |")
    lines.append(f"| **found (goal 90 %, search 70 %)** | {cells(plants)} |")
    for design in ("paired", "independent"):
        rows = [r for r in nulls if r["null"] == design]
        alarms = [f"{_share(rows, w, _alarm)}, KS p {_uniform(rows, w)} | " for w in ways]
        lines.append(f"| null studies, {design}: false alarms (goal 5 %) | " + " | ".join(alarms) + " |")
    return "\n".join(lines)


Result = dict[str, Any]
"""The results of one way on a study."""


def _found(result: Result) -> bool:
    return bool(result["found"])


def _search_found(result: Result) -> bool:
    return bool(result.get("search", {}).get("found"))


def _alarm(result: Result) -> bool:
    return sum(result["significant"]) > 0


def _share(rows: list[dict[str, Any]], way: str, holds: Callable[[Result], bool]) -> str:
    done = [r["ways"][way] for r in rows if way in r["ways"]]
    return f"{sum(map(holds, done))}/{len(done)}" if done else "—"


def _uniform(rows: list[dict[str, Any]], way: str) -> str:
    """Return the Kolmogorov–Smirnov p of the studies' p-values, each spread evenly over its step of 1/(1 + n)."""
    p = np.array([r["ways"][way]["study_p"] for r in rows if way in r["ways"]])
    if len(p) < 5:
        return "—"
    spread = np.random.default_rng(0).random(len(p)) / (1 + PERMUTATIONS)
    return f"{kstest(p - spread, 'uniform').pvalue:.2f}"


def missed(records: list[dict[str, Any]], way: str) -> str:
    """List the plants that a way or its search missed, with AUCs and number of significant directions."""
    lines = []
    for r in records:
        result = r["ways"].get(way)
        if r["null"] is None and result and "search" in result and not (result["found"] and result["search"]["found"]):
            first = [at for at, p in enumerate(result["p_adjusted"][0]) if p <= 0.05][:FIRST]
            of_first = _numbers([max((row[at] for at in first), default=0.5) for row in result["auc"]])
            share = ", ".join(f"{cue['most']:.2f} of {cue['own']:+.2f}" for cue in result["search"]["cues"])
            lines.append(
                f"- {r['kind']}, {r['data']}, seed {r['seed']}: {_significant(result)} significant, AUC of the "
                f"first {of_first}, best of {COMPONENTS} {_numbers([max(row) for row in result['auc']])}"
                f"{'' if result['found'] else ' (missed)'}; search: largest share of the cue's effect {share}"
                f"{'' if result['search']['found'] else ' (missed)'}"
            )
    return "\n".join(lines) or "- none"


def _significant(result: Result) -> int:
    """Return the number of significant directions among which first ones are chosen."""
    return sum(result["significant"]) if "sides" in result else int(result["significant"][0])


def by_strength(records: list[dict[str, Any]], way: str) -> str:
    """Return a Markdown table: plants found, by the cue's effect on A's mean probability of its class minus B's.

    The effect is measured on full-data models, by the search's rule; of several cues the weakest that must be found
    counts.
    """
    cells = []
    for low, high in pairwise(STRENGTHS):
        plants = [r for r in records if r["null"] is None and "search" in r["ways"].get(way, {})]
        rows = [r for r in plants if low <= strength(r["ways"][way]["search"]["cues"]) < high]
        cells.append((f"{low:.2f} to {high:.2f}", _share(rows, way, _found), _share(rows, way, _search_found)))
    heads, found, search = zip(*cells, strict=True)
    lines = (("cue's effect", *heads), ("---",) * (len(heads) + 1), ("found", *found), ("by the search", *search))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def strength(cues: list[dict[str, Any]]) -> float:
    """Return the size of the weakest effect among the FIRST strongest cues."""
    return sorted((abs(cue["own"]) for cue in cues), reverse=True)[min(len(cues), FIRST) - 1]


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the finished studies of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(record: Spec) -> tuple[Any, ...]:
    """Return the settings that identify a study."""
    return record["data"], record["kind"], record["seed"], record["null"]


def main() -> None:
    """Run the missing studies, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("planted.jsonl"))
    parser.add_argument("--only", nargs="*", default=[], help="kinds, or 'null'")
    parser.add_argument("--data", nargs="*", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first seed, of plants and of null studies")
    parser.add_argument("--nulls", type=int, default=10, help="null studies of each data set and design")
    parser.add_argument("--ways", nargs="*", default=["ridge-pca", "ridge-crossfit"])
    parser.add_argument("--models", type=int, help=f"models of each algorithm; by default {MODELS}")
    parser.add_argument("--kept", type=Path, help="where margins are kept, so that another way need not train again")
    parser.add_argument("--no-search", action="store_true", help="only directions, which takes a third of the time")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print the tables of finished studies")
    options = parser.parse_args()
    done = {key(r) for r in read(options.out)}
    todo = (
        []
        if options.table
        else [
            s
            for s in battery(options.only, options.data, options.seeds, options.nulls, options.first)
            if key(s) not in done
        ]
    )
    with ProcessPoolExecutor(options.workers) as pool:
        asked = (options.ways, options.models, options.kept, not options.no_search)
        studies = pool.map(study, todo, *([one] * len(todo) for one in asked))
        for number, record in enumerate(studies, 1):
            with options.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            results = "; ".join(
                f"{way} {'found' if result['found'] else result['significant']}, {result['seconds']:.0f} s"
                + (f", search {'found' if result['search']['found'] else 'missed'}" if "search" in result else "")
                for way, result in record["ways"].items()
            )
            name = f"{record['data']}, {record['kind']}, seed {record['seed']}, null {record['null']}"
            print(f"{number}/{len(todo)} {name}: {results}", flush=True)
    records = read(options.out)
    ways = sorted({way for r in records for way in r["ways"]})
    print("\n" + table(records, ways))
    for way in ways:
        for contrast in CONTRASTS:
            if contrast in ways and way not in CONTRASTS:
                print("\n" + side_by_side(records, way, contrast))
    for way in ways:
        print(f"\n{way}, by the cue's effect on A:\n{by_strength(records, way)}")
        print(f"\nMissed by {way}:\n{missed(records, way)}")
    print(f"\nModels an algorithm: {options.models or MODELS}; {PERMUTATIONS} permutations.")


if __name__ == "__main__":
    main()
