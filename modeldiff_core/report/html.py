"""The report as a folder of pages, each self-contained, beside its figures and tables as files."""

import base64
import hashlib
import json
import math
import shlex
from functools import partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modeldiff_core.data.inventory import sections
from modeldiff_core.report.citation import BIBTEX, PLAIN
from modeldiff_core.report.directions import DirectionView, direction_sheets, side_view
from modeldiff_core.report.effects import effect_sheets, effect_views
from modeldiff_core.report.estimators import estimator_rows
from modeldiff_core.report.facts import ReportFacts
from modeldiff_core.report.figures import noise_floor, variance_plot
from modeldiff_core.report.images import data_uri
from modeldiff_core.report.learning import learned, learning_plot
from modeldiff_core.report.methods import steps
from modeldiff_core.report.plain import plain_view
from modeldiff_core.report.settings import asked, confidence, measures, settings
from modeldiff_core.report.slopes import slope_plot, slope_words
from modeldiff_core.report.spread import spread_view
from modeldiff_core.report.tables import tables
from modeldiff_core.report.terms import Terms
from modeldiff_core.report.theme import DARK, LIGHT
from modeldiff_core.report.words import SIDES, direction_name, flat, number, variance

AGAIN = "modeldiff", "compare", "study=study.json"
"""What makes a comparison again, whatever settings it had: a name alone stands for those of its own file."""
HEADLINES = 3
"""Findings at the top; the others follow in small."""


def render(facts: ReportFacts) -> dict[str, bytes]:
    """Draw a comparison: file names to contents.

    `index.html`, the summary; a page for each significant direction, one for the others, one for transformations and
    one for methods; `study.json`; `figures/*` as PNG and SVG; `tables/*` as CSV and Parquet. A page needs no other
    file and no network: style, script and images are inside it, and its links are relative. The same facts give the
    same bytes.
    """
    out = tables(facts)
    wide, narrow = (variance_plot(facts), variance_plot(facts, 380, 440)) if facts.directions else (None, None)
    effects, found = (effect_views(own, numbers=bool(facts.target)) for own in (facts.effects, facts.found))
    learning = learning_plot(facts.learning) if facts.learning else None
    slopes = slope_plot(facts.contrast, facts.terms.noun) if facts.contrast else None
    plots = {"variance": wide} if wide else {}
    if slopes:
        plots["reaction"] = slopes
    if learning:
        plots["learning-curve"] = learning
    for stem, drawn in (plots | {view.stem: view.plot for view in (*effects, *found) if view.plot}).items():
        out[f"figures/{stem}.png"] = drawn.png
        out[f"figures/{stem}.svg"] = drawn.light
    out |= dict(direction_sheets(facts))
    out |= dict(effect_sheets(facts))
    out["study.json"] = json.dumps(facts.config, indent=2, ensure_ascii=False, default=str).encode()

    sides = [side_view(facts, side) for side in SIDES]
    significant = [view for side in sides for view in side.directions if view.significant]
    others = [view for side in sides for view in side.directions if view.shown and not view.significant]
    differing, common = settings(facts.a, facts.b)
    page = partial(
        _page,
        environment(),
        facts=facts,
        files=frozenset(out),
        sides=sides,
        significant=significant,
        others=others,
        effects=effects,
        found=found,
        differing=differing,
        plainly=plain_view(facts),
        spread=spread_view(facts),
        common=common,
        command=shlex.join(facts.command or AGAIN),
        confidence=confidence(facts),
    )
    for at, view in enumerate(significant):
        along = [effect for effect in found if view.name in effect.along.split(", ") and effect.distinguishing]
        around = _neighbors(significant, at)
        out[f"{view.stem}.html"] = page("direction", title=f"Direction {view.name}", view=view, along=along, **around)
    if others:
        lacking = "are not significant" if facts.calibrated else "were not tested"
        out["other-directions.html"] = page("others", title=f"Directions that {lacking}")
    if effects or found:
        out["transformations.html"] = page("transformations", title="Transformations")
    out["methods.html"] = page(
        "methods",
        title="Methods",
        asked=asked(facts),
        dataset=flat(facts.dataset),
        bibtex=BIBTEX,
        plain=PLAIN,
        steps=steps(facts),
        inventory=sections(facts.inventory) if facts.inventory else {},
        told=facts.inventory.remarks if facts.inventory else (),
        config=out["study.json"].decode(),
    )
    index = page(
        "index",
        title="Summary",
        variance_wide=wide,
        variance_narrow=narrow,
        headlines=facts.findings[:HEADLINES],
        remarks=facts.findings[HEADLINES:],
        measures=measures(facts.a, facts.b, classed=not facts.target) if facts.tested else [],
        estimators=estimator_rows(facts.estimators),
        similarity=number(facts.similarity),
        floor=variance(noise_floor(facts)),
        undrawn=[direction_name(d.side, d.index) for d in facts.directions if math.isnan(d.variance_a)],
        slopes=slopes,
        slopes_said=slope_words(facts.contrast) if facts.contrast else "",
        learning=learning,
        learned=learned(facts),
    )
    return {"index.html": index, **dict(sorted(out.items()))}


def style() -> str:
    """Return the style sheet of our pages, with the colors of both themes."""
    sheet = (files(__package__) / "page.css").read_text("utf-8")
    return f":root{{{LIGHT.css()}}}\n@media (prefers-color-scheme: dark){{:root{{{DARK.css()}}}}}\n{sheet}"


def environment() -> Environment:
    """Return our templates, which know the style sheet and the script of our pages and show SVG by the filter `svg`."""
    script = (files(__package__) / "page.js").read_text("utf-8")
    templates = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["svg"] = lambda content: data_uri(content, "image/svg+xml")
    templates.globals |= {
        "style": Markup(style()),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    }
    return templates


def _page(templates: Environment, name: str, **shown: Any) -> bytes:
    """Return a page in the terms of its `facts`."""
    terms: Terms = shown["facts"].terms
    return terms.page(templates.get_template(f"{name}.html.jinja").render(page=name, **shown)).encode()


def _neighbors(views: list[DirectionView], at: int) -> dict[str, DirectionView | None]:
    return {
        "previous": views[at - 1] if at else None,
        "following": views[at + 1] if at + 1 < len(views) else None,
    }
