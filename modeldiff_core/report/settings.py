"""The settings of a comparison in readable form: what differs, what was measured, and everything that was asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from modeldiff_core.report.facts import AlgorithmFacts, ReportFacts
from modeldiff_core.report.words import ABSENT, flat, number, percent

LONGEST = 160
"""Characters of a setting's value in a table; all of it is in study.json."""


@dataclass(frozen=True)
class Setting:
    """One setting of the two algorithms."""

    name: str
    a: str
    b: str


def settings(a: AlgorithmFacts, b: AlgorithmFacts) -> tuple[list[Setting], list[Setting]]:
    """Return the settings that differ, and those in common."""
    left, right = flat(a.settings), flat(b.settings)
    both = [Setting(name, left.get(name, ABSENT), right.get(name, ABSENT)) for name in left | right]
    return [item for item in both if item.a != item.b], [item for item in both if item.a == item.b]


def measures(a: AlgorithmFacts, b: AlgorithmFacts, *, classed: bool = True) -> list[Setting]:
    """Return what was trained of each algorithm, and how good it is. classed: whether models predict classes."""

    def row(name: str, of: Callable[[AlgorithmFacts], str]) -> Setting:
        return Setting(name, of(a), of(b))

    return [
        row("Models trained on subsets", _models),
        row("Models trained on all data", lambda one: f"{one.ensemble_models:,}"),
        *(
            [
                row("Accuracy, subset models", lambda one: percent(one.subset_accuracy)),
                row("Accuracy, models on all data", lambda one: percent(one.ensemble_accuracy)),
            ]
            if classed
            else []
        ),
        row(
            "Linear datamodeling score",
            lambda one: f"{number(one.lds_mean)} [{number(one.lds_low)}, {number(one.lds_high)}]",
        ),
        *([row(name, partial(_reliable, key)) for key, name in RELIABLE.items()] if a.reliability else []),
    ]


RELIABLE = {
    "mean": "Score against the mean of all models of a mask",
    "ceiling_one": "Most that is possible against one model of a mask",
    "ceiling_mean": "Most that is possible against their mean",
    "share": "Share of that",
}
"""What is reported of scores where held-out masks have several models, with the names of its rows."""


def _reliable(key: str, one: AlgorithmFacts) -> str:
    found = one.reliability.get(key)
    return ABSENT if found is None else f"{number(found.mean)} [{number(found.low)}, {number(found.high)}]"


def asked(facts: ReportFacts) -> dict[str, dict[str, str]]:
    """Return every setting of the study but the algorithms' own, by the part of the study it belongs to."""
    parts: dict[str, dict[str, str]] = {"study": {}}
    for part, content in facts.config.items():
        if part in ("algorithm_a", "algorithm_b"):
            continue
        if isinstance(content, Mapping):
            parts[part] = {name: _brief(value) for name, value in flat(content).items()}
        elif isinstance(content, (list, tuple)) and any(isinstance(item, Mapping) for item in content):
            named = ((item.get("name", str(at + 1)), item) for at, item in enumerate(content))
            parts[part] = {
                str(name): _brief("; ".join(f"{k} {v}" for k, v in flat(item).items() if k != "name"))
                for name, item in named
            }
        else:
            parts["study"] |= {part: _brief(flat({part: content})[part])}
    return {part: rows for part, rows in parts.items() if rows}


def part(facts: ReportFacts, name: str) -> Mapping[str, object]:
    """Return one part of the study's settings; empty where it has none."""
    found = facts.config.get(name)
    return found if isinstance(found, Mapping) else {}


def confidence(facts: ReportFacts) -> str:
    """Return the level of the effects' intervals: '95 %'."""
    level = part(facts, "effects").get("level")
    return f"{100 * level if isinstance(level, float) else 95:g}\u00a0%"


def fraction(facts: ReportFacts) -> str:
    """Return the share of the training set that one model sees, where the configuration tells it."""
    share = part(facts, "subsets").get("fraction")
    return f"{share:.0%}".replace("%", "\u00a0%") if isinstance(share, float) else ""


def _models(one: AlgorithmFacts) -> str:
    diverged = f"{one.diverged:,} diverged and left out" if one.diverged else "none diverged"
    screened = f", {one.left_out:,} screened out" if one.left_out else ""
    return f"{one.subset_models:,} ({diverged}{screened})"


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
