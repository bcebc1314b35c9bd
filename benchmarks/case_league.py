"""Run the league of what practitioners argue about, and a forest against a network, and write their overview page.

    OMP_NUM_THREADS=1 python -m benchmarks.case_league STORE             # all that is missing, then the page
    OMP_NUM_THREADS=1 python -m benchmarks.case_league STORE --rebuild   # the page alone

Rules, fixed before any result. The studies are case_league (four algorithms, six pairs) and case_table (one pair) as
they ship. Pairs are ranked by all that differs, as a share of a datamodel's squared length, in which noise cancels. A
verdict is that of a league over all seven pairs: *different* where Holm's p of the largest difference is .05 or less
and the total lies above the margin of 10 % beyond its interval, *equivalent* where it lies below, else *undecided*.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import torch

from benchmarks.case_records import machine, record_key
from modeldiff_core.experiments.league.overview import overview
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import Bar
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.store.records import write_record
from modeldiff_platform.flows.cli.compose import request

STUDY, TABLE, PAGE = "case_league", "case_table", Path("docs/cases/league.md")
MARGIN, LEVEL = 0.1, 0.05
COMMAND = "python -m benchmarks.case_league"
PAIRS = {
    ("mixup", "plain"): "mixup or plain",
    ("adam", "plain"): "Adam or SGD",
    ("gelu", "plain"): "GELU or ReLU",
    ("forest", "network"): "forest or network",
}
"""The pairs that people argue about; others follow from the same models."""


@dataclass(frozen=True)
class Asked:
    """The two studies, as a command line has them."""

    league: tuple[str, ...] = (f"study={STUDY}",)
    table: tuple[str, ...] = (f"study={TABLE}",)

    def studies(self) -> tuple[Any, Any]:
        """Return the league and the comparison on a table."""
        return request(list(self.league), "league").study, request(list(self.table), "compare").study


@dataclass(frozen=True)
class Found:
    """What both studies found. summaries: by short names; names: what people call the algorithms."""

    summaries: Mapping[tuple[str, str], Mapping[str, Any]]
    names: Mapping[str, str]
    digests: tuple[str, str]
    kept: Mapping[str, Any]
    models: tuple[int, int]


def run_all(asked: Asked, root: str) -> None:
    """Make what the store lacks, and note what was spent."""
    studies, spent = asked.studies(), {}
    for name, study in zip(("league", "table"), studies, strict=True):
        began = process_time()
        print(*run_study(study, root, progress=Bar()).findings, sep="\n", flush=True)
        spent[name] = process_time() - began
    experiment, store = open_experiment(studies[0], root)
    key = key_of(experiment.digest)
    known = read_record(store, key)["seconds"] if store.exists(key) else {}
    seconds = {name: max(value, known.get(name, 0.0)) for name, value in spent.items()}
    write_record(store, key, {"seconds": seconds, "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"})


def key_of(digest: str) -> str:
    """Return where the page's own record stands."""
    return record_key(STUDY, digest)


def read_found(asked: Asked, root: str) -> Found:
    """Return what the store holds of both studies."""
    league, table = asked.studies()
    experiment, store = open_experiment(league, root)
    summaries = {pair: read_record(store, one.summary.record) for pair, one in experiment.pairs.items()}  # type: ignore[attr-defined]
    names = {short: one.name for short, one in league.algorithms.items()}
    other, _ = open_experiment(table, root)
    summaries["forest", "network"] = read_record(store, other.summary.record)
    names |= {"forest": table.algorithm_a.name, "network": table.algorithm_b.name}
    return Found(
        summaries,
        names,
        (experiment.digest, summaries["forest", "network"]["digest"]),
        kept_of(store, experiment.digest),
        (league.subsets.models, table.subsets.models),
    )


def kept_of(store: ObjectStore, digest: str) -> Mapping[str, Any]:
    """Return what was noted of the runs."""
    return dict(read_record(store, key_of(digest)))


def page(found: Found) -> str:
    """Return the page, every number from the store."""
    entries = overview(found.summaries, LEVEL, MARGIN)
    return "\n".join([*_head(found), *_ranked(found, entries), *_each(found), *_end(found, entries)]) + "\n"


def _head(found: Found) -> Iterator[str]:
    league, table = (digest[:16] for digest in found.digests)
    yield from (
        "# What practitioners argue about: a league",
        "",
        f"*Every number of this page is written by `{COMMAND} STORE --rebuild` from a store; the digests are "
        f"`{league}` (the "
        f"league) and `{table}` (the table).*",
        "",
        "## Question",
        "",
        "Mixup or not, Adam or SGD, GELU or ReLU, a forest or a network: accuracies hardly differ. Do the models "
        "rely on other training examples?",
        "",
        "## Set-up",
        "",
        "`case_league`: fully connected networks of 64 units on 600 images of Fashion-MNIST (300 test images), 8 "
        f"epochs, one thing changed at a time; {found.models[0]:,} subset models of each on the same random halves, "
        "50 full-data models. `case_table`: a forest of 10 trees against a network of 16 units on scikit-learn's "
        f"breast cancer table (300 rows, 269 test rows), {found.models[1]:,} subset models of each.",
        "",
        "| algorithm | accuracy of full-data models | score of its datamodels [95 %] |",
        "|---|---|---|",
    )
    for short, name in found.names.items():
        summary, side = next(
            (summary, "ab"[pair.index(short)]) for pair, summary in found.summaries.items() if short in pair
        )
        right = next(
            one[side] for one in summary["plain"]["quantities"] if one["name"] == "accuracy" and not one["group"]
        )
        lds = summary["lds"][side]
        yield f"| {name} | {right['mean']:.3f} | {lds['mean']:.2f} [{lds['ci_low']:.2f}, {lds['ci_high']:.2f}] |"
    yield ""


def _ranked(found: Found, entries: list[dict[str, Any]]) -> Iterator[str]:
    yield from (
        "## Ranked by how much differs beyond noise",
        "",
        "All that differs: share of a datamodel's squared length, noise taken out. p of the largest difference, "
        f"Holm over {len(entries)} pairs. Verdict: level {LEVEL:g} over all pairs, margin {MARGIN:.0%}. Reacts: how "
        "strongly the first one's margins react relative to the second's; that alone is no difference in what they "
        "rely on.",
        "",
        "| pair | | all that differs [95 %] | p | verdict | reacts | similarity | confirmed transformations |",
        "|---|---|---|---|---|---|---|---|",
    )
    for one in entries:
        pair, total = (one["a"], one["b"]), one["total"]
        ends = "" if total["low"] is None else f" [{100 * total['low']:.0f}, {100 * total['high']:.0f}]"
        reaction = found.summaries[pair]["reaction"]["middle"]
        yield (
            f"| {found.names[one['a']]} against {found.names[one['b']]} | {PAIRS.get(pair, '')} | "
            f"{100 * total['value']:.0f} %{ends} | {one['p_adjusted']:.2g} | {one['answer']} | × {reaction:.2f} | "
            f"{one['similarity']:.2f} | {', '.join(one['confirmed'][:3]) or 'none'} |"
        )
    yield ""


def _each(found: Found) -> Iterator[str]:
    yield from ("## Pair by pair", "")
    for pair, words in PAIRS.items():
        summary = found.summaries[pair]
        yield f"**{words[0].upper()}{words[1:]}** ({found.names[pair[0]]} is A). {' '.join(summary['findings'][:3])}"
        yield ""


def _end(found: Found, entries: list[dict[str, Any]]) -> Iterator[str]:
    undecided = [one for one in entries if one["answer"] == "undecided"]
    seconds, kept = found.kept["seconds"], found.kept
    yield from (
        "## Not found",
        "",
        f"- {len(undecided)} of {len(entries)} pairs are undecided: neither below the margin nor beyond it.",
    )
    bounded = [one for one in entries if one["total"]["high"] is not None and one["answer"] != "different"]
    if bounded:
        most = max(one["total"]["high"] for one in bounded)
        yield (
            f"- Of the pairs that are not said to differ, none differs by more than {100 * most:.0f} % of a datamodel "
            "(95 %)."
        )
    yield from (
        "- The four networks of the league can be differentiated (`comparison.method=matrix_free`), which was not done "
        "here; the forest and scikit-learn's network cannot.",
        "",
        "## Minutes and commands",
        "",
        "```",
        f"modeldiff run     study={STUDY}",
        f"modeldiff compare study={TABLE}",
        f"{COMMAND} runs             # both if they are missing, and this page",
        f"{COMMAND} runs --rebuild   # this page alone",
        "```",
        "",
        f"{kept['date']}, {kept['machine']}, one core shared with other processes: {seconds['league'] / 60:.1f} CPU "
        f"minutes for the league, {seconds['table'] / 60:.1f} for the table (the longest run of each; what was in "
        "the store before it is not counted). Reports of all pairs: "
        f"`leagues/{STUDY}-{found.digests[0][:8]}/report/index.html` and "
        f"`comparisons/{TABLE}-{found.digests[1][:8]}/report/index.html` in the store.",
    )


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--rebuild", action="store_true", help="write the page only")
    parser.add_argument("--set", nargs="*", default=[], help="overrides of both studies, to try this out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    asked = Asked((f"study={STUDY}", *given.set), (f"study={TABLE}", *given.set))
    if not given.rebuild:
        run_all(asked, given.store)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text(page(read_found(asked, given.store)), "utf-8")


if __name__ == "__main__":
    main()
