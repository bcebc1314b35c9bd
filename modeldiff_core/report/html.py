"""The report as one self-contained page, and its figures as files."""

import base64
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modeldiff_core.report.directions import direction_sheets, side_view
from modeldiff_core.report.effects import effect_sheets, effect_views
from modeldiff_core.report.estimators import estimator_rows
from modeldiff_core.report.facts import AlgorithmFacts, ReportFacts
from modeldiff_core.report.figures import noise_floor, variance_plot
from modeldiff_core.report.images import data_uri
from modeldiff_core.report.learning import learning_plot, learning_words
from modeldiff_core.report.theme import DARK, LIGHT
from modeldiff_core.report.words import ABSENT, SIDES, flat, number, percent, variance


@dataclass(frozen=True)
class Setting:
    """One setting of the two algorithms."""

    name: str
    a: str
    b: str


def render(facts: ReportFacts) -> dict[str, bytes]:
    """Draw a comparison: file names to contents, `index.html` and `figures/*`.

    The page needs no other file and no network: style, script and figures are inside it. The same facts give the same
    bytes.
    """
    out: dict[str, bytes] = {}
    wide, narrow = (variance_plot(facts), variance_plot(facts, 380, 440)) if facts.directions else (None, None)
    effects, found = effect_views(facts.effects), effect_views(facts.found)
    learning = learning_plot(facts.learning) if facts.learning else None
    plots = {"variance": wide} if wide else {}
    if learning:
        plots["learning-curve"] = learning
    for stem, drawn in (plots | {view.stem: view.plot for view in (*effects, *found) if view.plot}).items():
        out[f"figures/{stem}.png"] = drawn.png
        out[f"figures/{stem}.svg"] = drawn.light
    out |= dict(direction_sheets(facts))
    out |= dict(effect_sheets(facts))

    folder = files(__package__)
    script = (folder / "page.js").read_text("utf-8")
    differing, common = _settings(facts.a, facts.b)
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = lambda content: data_uri(content, "image/svg+xml")
    page = environment.get_template("page.html.jinja").render(
        facts=facts,
        style=Markup(style()),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        variance_wide=wide,
        variance_narrow=narrow,
        measures=_measures(facts.a, facts.b),
        differing=differing,
        common=common,
        estimators=estimator_rows(facts.estimators),
        similarity=number(facts.similarity),
        floor=variance(noise_floor(facts)),
        sides=[side_view(facts, side) for side in SIDES],
        effects=effects,
        found=found,
        learning=learning,
        learned=_learned(facts),
        dataset=flat(facts.dataset),
        fraction=_fraction(facts),
        config=json.dumps(facts.config, indent=2, ensure_ascii=False, default=str),
        command=shlex.join(facts.command or ("modeldiff", "compare", f"study={facts.study}")),
    )
    return {"index.html": page.encode(), **dict(sorted(out.items()))}


def style() -> str:
    """The style sheet of our pages, with the colours of both themes."""
    sheet = (files(__package__) / "page.css").read_text("utf-8")
    return f":root{{{LIGHT.css()}}}\n@media (prefers-color-scheme: dark){{:root{{{DARK.css()}}}}}\n{sheet}"


def _settings(a: AlgorithmFacts, b: AlgorithmFacts) -> tuple[list[Setting], list[Setting]]:
    """The settings that differ, and those in common."""
    left, right = flat(a.settings), flat(b.settings)
    both = [Setting(name, left.get(name, ABSENT), right.get(name, ABSENT)) for name in left | right]
    return [item for item in both if item.a != item.b], [item for item in both if item.a == item.b]


def _measures(a: AlgorithmFacts, b: AlgorithmFacts) -> list[Setting]:
    """What was trained of each algorithm, and how good it is."""

    def row(name: str, of: Callable[[AlgorithmFacts], str]) -> Setting:
        return Setting(name, of(a), of(b))

    return [
        row("Models trained on subsets", _models),
        row("Models trained on all data", lambda one: f"{one.ensemble_models:,}"),
        row("Accuracy, subset models", lambda one: percent(one.subset_accuracy)),
        row("Accuracy, models on all data", lambda one: percent(one.ensemble_accuracy)),
        row(
            "Linear datamodeling score",
            lambda one: f"{number(one.lds_mean)} [{number(one.lds_low)}, {number(one.lds_high)}]",
        ),
    ]


def _learned(facts: ReportFacts) -> list[str]:
    """What the learning curves say."""
    if facts.learning is None:
        return []
    names = (facts.a.name, facts.b.name)
    held, wished = facts.learning.held, facts.learning.wished
    return [learning_words(n, c, held, wished) for n, c in zip(names, facts.learning.curves, strict=True)]


def _models(one: AlgorithmFacts) -> str:
    left_out = f" ({one.diverged:,} diverged and left out)" if one.diverged else " (none diverged)"
    return f"{one.subset_models:,}{left_out}"


def _fraction(facts: ReportFacts) -> str:
    """The share of the training set that one model sees, where the configuration tells it."""
    subsets = facts.config.get("subsets")
    fraction = subsets.get("fraction") if isinstance(subsets, Mapping) else None
    return f"{fraction:.0%}".replace("%", "\u00a0%") if isinstance(fraction, float) else ""
