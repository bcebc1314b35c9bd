"""The block for RESULTS.md: a heading, the machine, and tables of checks, comparisons and rates."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import sklearn
import torch

from benchmarks.gpu.results import Bench, Comparison, Outcome, Rate


def machine(bench: Bench) -> str:
    """Return the device's name and the versions that results depend on."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, "
    versions += f"scikit-learn {sklearn.__version__}"
    if not bench.cuda:
        return f"CPU ({platform.processor() or platform.machine()}), {versions}"
    found = torch.cuda.get_device_properties(bench.device)
    capability = f"compute capability {found.major}.{found.minor}"
    return f"{found.name}, {found.total_memory / 2**30:.0f} GB, {capability}, CUDA {torch.version.cuda}, {versions}"


def block(bench: Bench, outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return the block as Markdown."""
    mode = " · quick: sizes that only try the script out" if bench.quick else ""
    lines = ["## gpu", "", f"{datetime.now(UTC):%Y-%m-%d} · {machine(bench)} · {seconds:.0f} s{mode}.", ""]
    lines += ["| check | result | largest difference / tolerance | s |", "|---|---|---|---|"]
    lines += [_check(outcome) for outcome in outcomes]
    comparisons = [one for outcome in outcomes for one in outcome.comparisons]
    if comparisons:
        lines += ["", "| comparison | difference | tolerance | result | |", "|---|---|---|---|---|"]
        lines += [_comparison(one) for one in comparisons]
    rates = [one for outcome in outcomes for one in outcome.rates]
    if rates:
        lines += ["", "Seconds are by the clock, idle parts included; the peak is that of large bfloat16 products."]
        lines += ["", "| | way | s each | an hour | hours for 100,000 | of the peak | × usual | MB |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_rate(one) for one in rates]
    return "\n".join(lines) + "\n"


def _check(outcome: Outcome) -> str:
    compared = outcome.comparisons
    # A tolerance of 0 allows no difference at all, so that none is a share of 0 and any other is without bound.
    shares = [one.difference / one.tolerance if one.tolerance else one.difference and float("inf") for one in compared]
    wrong = sum(not one.holds for one in compared)
    words = outcome.status if not outcome.reason else f"{outcome.status}: {outcome.reason}"
    if wrong:
        words = f"**{wrong} of {len(compared)} wrong**" + ("" if outcome.status == "done" else f", {words}")
    elif not outcome.holds:
        words = f"**{words}**"
    elif outcome.status == "done":
        words = f"{len(compared)} hold" if compared else "measured"
    share = f"{max(shares):.2g}" if shares else ""
    return f"| {outcome.check} | {_cell(words)} | {share} | {outcome.seconds:.1f} |"


def _comparison(one: Comparison) -> str:
    word = "holds" if one.holds else "**wrong**"
    return f"| {_cell(one.case)} | {one.difference:.2g} | {one.tolerance:g} | {word} | {_cell(one.note)} |"


def _rate(one: Rate) -> str:
    share = "" if one.share is None else f"{one.share:.1%}"
    ratio = "" if one.ratio is None else f"{one.ratio:.2g}" if one.ratio < 10 else f"{one.ratio:.0f}"
    memory = "" if one.megabytes is None else f"{one.megabytes:,.0f}"
    return (
        f"| {_cell(one.case)} | {_cell(one.way)} | {one.seconds:.4g} s a {one.item} | {3600 / one.seconds:,.0f} | "
        f"{1e5 * one.seconds / 3600:,.2f} | {share} | {ratio} | {memory} |"
    )


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
