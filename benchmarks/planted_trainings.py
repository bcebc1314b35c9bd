"""Planted differences from a handful of differentiated trainings: the battery of planted.py without subset models.

    OMP_NUM_THREADS=1 python -m benchmarks.planted_trainings [--trainings 8] [--seeds 1] [--first 40] [--table]
        [--probes 16] [--data digits fashion] [--out FILE] [--kept DIR] [--seconds S]

The rules, fixed before any result. Data, plants, networks and rates are those of benchmarks/planted.py, whose seeds
below 40 nobody has tried here and whose seeds from 40 on nobody has tried anywhere. Directions are those of
`comparison.method=matrix_free` with its settings as shipped: 16 weightings of each side through two trainings of each
choose a basis of 32 directions, R further trainings of each are compared in it by the contrast with signs flipped.

- A plant is *found* by the rule of planted.py: one of the first three directions of side A−B with p ≤ 0.05 has an AUC
  of at least 0.9 for it; of several cues all, or three.
- The search is that of planted_search.py along the same directions.
- R = 8 is what counts, beside 43 of 56 by regression from 800 and 1,000 models of each; R = 6 and 7 are subsets of the
  same products, R = 16 is a second run that adds to them. Below 6 nothing can be tested, so nothing is found.
- *normalized*: the same products with every target's rows scaled (``contrast_of_trainings``), told beside, not chosen.
- *either side*: the same rule for the first three directions with p ≤ 0.05 of both sides together. A direction's side
  is the algorithm whose margins depend on it more, and a cue that moves what its carriers teach is on either. Added
  after the first seed, where it finds 21 in place of 18; the seeds that follow are the fair test.
- With --probes 32 the basis has 64 directions: as costly at R = 8 as R = 16 with 32 directions. Added after the first
  seed was seen at R = 8, whose bases miss .20 (digits) and .35 (Fashion-MNIST) of a further product.
- *told*: AUC of the direction V·Vᵀc, c telling the training images that carry a cue from others of its class, which
  nobody is told; below 0.9 the products do not hold the plant.

One JSON line for each finished study is appended to --out; products are kept in --kept a training at a time, so that a
run that was stopped goes on and more trainings cost only their own.
"""

import argparse
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.handful import Basis, Two
from benchmarks.planted import AUC, FIRST, RECIPES, area
from benchmarks.planted_kinds import DATASETS, KINDS, Sample, sample
from benchmarks.planted_search import ensembles, searched
from harness.batteries import records
from modeldiff_core.comparison.training_directions import SidedDirection, directions_of_trainings, repeatability
from modeldiff_core.comparison.trainings import LEAST_TESTED, contrast_of_trainings
from modeldiff_core.metagradients.basis import missed_by_others
from modeldiff_core.training import Task

COMPONENTS, TOP, LEVEL = 8, 12, 0.05
FIRST_SEED = 40
Spec = dict[str, Any]


def two_of(data: str, made: Sample, probes: int) -> Two:
    """Return A and B of a study; only the training images differ."""
    a, b = (Task(RECIPES[data], 1, train, made.test, 10) for train in (made.train_a, made.train_b))
    return Two((a, b), probes)


def kept_products(two: Two, count: int, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return basis [q, train], what it is made of [probes, train] and J·V [sides, trainings, targets, q]; keep them."""
    folder.mkdir(parents=True, exist_ok=True)
    file, basis = folder / "basis.npz", None
    if not file.exists():
        basis = two.basis(count)
        _save(file, vectors=basis.vectors, pooled=basis.pooled)
    stored = np.load(file)
    rows = []
    for side in (0, 1):
        for number in two.compared(count):
            part = folder / f"{side}-{number}.npz"
            if not part.exists():
                basis = basis or _bare(stored)
                _save(part, products=two.along(basis, side, number))
            rows.append(np.load(part)["products"])
    return stored["vectors"], stored["pooled"], np.stack(rows).reshape(2, count, *rows[0].shape)


def study(spec: Spec, kept: Path) -> dict[str, Any]:
    """Return the record of one study."""
    made, count = sample(spec["data"], spec["kind"], spec["seed"]), spec["trainings"]
    began, two = time.process_time(), two_of(spec["data"], made, spec["probes"])
    wide = "" if spec["probes"] == 16 else f"-{spec['probes']}"
    folder = kept / f"{spec['data']}-{spec['kind']}-{spec['seed']}{wide}".replace(" ", "_").replace("%", "percent")
    vectors, pooled, (a, b) = kept_products(two, count, folder)
    record: Spec = {**spec, "product_seconds": round(time.process_time() - began, 2)}
    record |= {"missed": round(missed_by_others(pooled), 3), "common": [round(repeatability(x), 3) for x in (a, b)]}
    record["curve"] = {}
    for used in sorted({*range(LEAST_TESTED, 9), 12, count}):
        if used <= count:
            record["curve"][str(used)] = judged(a[:used], b[:used], made, normalize=False)[0]
    record["normalized"] = judged(a, b, made, normalize=True)[0]
    result, leading = judged(a, b, made, normalize=False)
    record |= result
    record["told"] = [round(one, 3) for one in told(a, b, vectors, made)]
    began = time.process_time()
    if leading:
        weights = np.stack([one.coefficients @ vectors for one in leading])
        projections = np.stack([one.projections for one in leading], 1)
        record["search"] = searched(ensembles(RECIPES[spec["data"]], made, 1), made, weights, projections)
    else:
        record["search"] = {"tested": [], "cues": [], "found": False}
    return record | {"search_seconds": round(time.process_time() - began, 2)}


def judged(a: np.ndarray, b: np.ndarray, made: Sample, *, normalize: bool) -> tuple[Spec, list[SidedDirection]]:
    """Return what the directions of some trainings find, and the leading ones of side A−B."""
    found = directions_of_trainings(a, b, COMPONENTS, top=TOP, normalize=normalize)
    own = [one for one in found.directions if one.side == "a-b"]
    leading = [one for one in own if one.p <= LEVEL][:FIRST]
    aucs = [[area(t.carries[t.among], one.projections[t.among]) for one in own] for t in made.truths]
    enough = min(len(made.truths), FIRST)
    of_both = [one for one in found.directions if one.p <= LEVEL][:FIRST]

    def hits(among: list[SidedDirection]) -> bool:
        seen = [[area(t.carries[t.among], one.projections[t.among]) for one in among] for t in made.truths]
        return sum(max(row, default=0.5) >= AUC for row in seen) >= max(enough, 1)

    return {
        "p": {side: [round(one.p, 4) for one in found.directions if one.side == side] for side in ("a-b", "b-a")},
        "auc": np.round(aucs, 3).tolist(),
        "strongest": [
            {
                "side": one.side,
                "p": round(one.p, 4),
                "variances": [round(one.variance_a, 4), round(one.variance_b, 4)],
                "auc": [round(area(t.carries[t.among], one.projections[t.among]), 3) for t in made.truths],
            }
            for one in found.directions[:FIRST]
        ],
        "found": hits(leading),
        "either": hits(of_both),
    }, leading


def told(a: np.ndarray, b: np.ndarray, vectors: np.ndarray, made: Sample) -> list[float]:
    """Return for each cue the AUC of the direction that is told which training images carry it."""
    rows, found = contrast_of_trainings(a, b, 1).halves.mean(0), []
    for truth in made.truths:
        among, carriers = truth.trained_among, truth.trained.astype(float)
        direction = vectors @ np.where(among, carriers - carriers[among].mean(), 0)
        found.append(area(truth.carries[truth.among], (rows @ direction)[truth.among]))
    return found


def battery(data: Iterable[str], seeds: Iterable[int], trainings: int, probes: int) -> list[Spec]:
    """Return the studies, every kind on each data set of a seed before the next seed."""
    return [
        {"data": name, "kind": kind, "seed": seed, "trainings": trainings, "probes": probes}
        for seed in seeds
        for kind in KINDS
        for name in data
    ]


def table(found: list[Spec]) -> str:
    """Return found of all by R, found by the search, and every miss with what it looks like."""
    heads = "trainings of each | studies | found | either side | normalized | by the search"
    lines = [f"| {heads} |", "|---" * 6 + "|"]
    for count, probes in sorted({(one["trainings"], one["probes"]) for one in found}):
        own = [one for one in found if (one["trainings"], one["probes"]) == (count, probes)]
        for used in sorted({int(used) for one in own for used in one["curve"]}):
            hits = sum(one["curve"][str(used)]["found"] for one in own)
            either = sum(one["curve"][str(used)]["either"] for one in own)
            last = used == count
            other = sum(one["normalized"]["found"] for one in own) if last else "–"
            by_search = sum(one["search"]["found"] for one in own) if last else "–"
            lines.append(
                f"| {used} (of {count}), basis of {2 * probes} | {len(own)} | {hits} | {either} | {other} "
                f"| {by_search} |"
            )
    most = max(((one["trainings"], one["probes"]) for one in found), default=(0, 0))
    lines += ["", f"| planted, {most[0]} trainings, found / by the search | digits | fashion |", "|---|---|---|"]
    for kind in KINDS:
        cells = [
            f"{sum(one['found'] for one in own)} / {sum(one['search']['found'] for one in own)} of {len(own)}"
            for name in DATASETS
            for own in [
                [
                    one
                    for one in found
                    if (one["kind"], one["data"], one["trainings"], one["probes"]) == (kind, name, *most)
                ],
            ]
        ]
        lines.append(f"| {kind} | {cells[0]} | {cells[1]} |")
    lines.append("")
    lines += [_missed(one) for one in found if (one["trainings"], one["probes"]) == most and not one["found"]]
    seconds = {name: [one["product_seconds"] for one in found if one["data"] == name] for name in DATASETS}
    spent = ", ".join(f"{name} {np.mean(own):.1f}" for name, own in seconds.items() if own)
    return "\n".join([*lines, f"CPU seconds of the products of a study: {spent}"])


def beside(found: list[Spec], regression: list[Spec]) -> str:
    """Return how many plants trainings and regression (benchmarks/planted.py) find of the same ones."""
    of = {(one["data"], one["kind"], one["seed"]): one["ways"] for one in regression if one["null"] is None}
    lines = [
        "| trainings, which directions | regression | plants | both | trainings alone | regression alone | neither |"
    ]
    lines.append("|---" * 7 + "|")
    same = [(one, of[key]) for one in found if (key := (one["data"], one["kind"], one["seed"])) in of]
    for used in ("8", "16"):
        for rule, told in (("found", "side A−B"), ("either", "either side")):
            for way in sorted({way for _, ways in same for way in ways}):
                pairs = [
                    (one["curve"][used][rule], ways[way]["found"])
                    for one, ways in same
                    if used in one["curve"] and way in ways
                ]
                counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
                lines.append(f"| {used}, {told} | {way} | {len(pairs)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def _missed(one: Spec) -> str:
    """Return what a plant that was not found looks like."""
    strongest = "; ".join(f"{x['side']}, p {x['p']}, {x['variances']}, AUC {x['auc']}" for x in one["strongest"])
    best = [max(row, default=0) for row in one["auc"]]
    return (
        f"- missed: {one['kind']}, {one['data']}, seed {one['seed']}: best AUC of side A−B {best}, told {one['told']}; "
        f"the strongest of both sides: {strongest}; in common {one['common']}, missed by the basis {one['missed']}"
    )


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=8)
    parser.add_argument("--probes", type=int, default=16)
    parser.add_argument("--first", type=int, default=FIRST_SEED)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data", nargs="*", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--out", type=Path, default=Path("planted_trainings.jsonl"))
    parser.add_argument("--kept", type=Path, default=Path("planted_trainings"))
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--beside", type=Path, help="results of benchmarks/planted.py on the same plants")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    done = {tuple(one[name] for name in ("data", "kind", "seed", "trainings", "probes")) for one in records(asked.out)}
    began = time.process_time()
    with threadpool_limits(1):
        for spec in battery(asked.data, range(asked.first, asked.first + asked.seeds), asked.trainings, asked.probes):
            if asked.table or time.process_time() - began > asked.seconds:
                break
            if tuple(spec.values()) in done:
                continue
            record = study(spec, asked.kept)
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(
                f"{tuple(spec.values())}: found {record['found']}, by the search {record['search']['found']}",
                flush=True,
            )
    print(table(list(records(asked.out))))
    if asked.beside:
        print("\n" + beside(list(records(asked.out)), list(records(asked.beside))))


def _bare(stored: Any) -> Basis:
    """Return a kept basis, without trainings."""
    return Basis(stored["vectors"], stored["pooled"], {})


def _save(file: Path, **arrays: np.ndarray) -> None:
    """Write arrays at once or not at all."""
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.rename(file)


if __name__ == "__main__":
    main()
