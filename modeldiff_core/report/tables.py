"""The numbers of a report as tables for other programs, each as CSV and as Parquet."""

import io
import math
from collections.abc import Iterator

import pandas as pd

from modeldiff_core.data import Known
from modeldiff_core.report.ends import class_name, ends, flags
from modeldiff_core.report.facts import (
    CurveFacts,
    DirectionFacts,
    EffectFacts,
    EstimatorFacts,
    LearningFacts,
    PlainFacts,
    ReportFacts,
)
from modeldiff_core.report.settings import settings
from modeldiff_core.report.words import direction_stem

FURTHEST = 100
"""Examples in the table of each end of a direction."""


def tables(facts: ReportFacts) -> dict[str, bytes]:
    """File names to contents, two of each table: `directions`, `transformations`, `settings`, `learning-curve`,
    `estimators`, and the examples furthest along each significant direction. A table without rows is left out.
    """
    named = {
        "directions": pd.DataFrame([_direction(one) for one in facts.directions]),
        "transformations": pd.DataFrame([row for one in (*facts.effects, *facts.found) for row in _effect(one)]),
        "settings": pd.DataFrame([vars(row) for rows in settings(facts.a, facts.b) for row in rows]),
        "learning-curve": pd.DataFrame([row for one in [facts.learning] if one for row in _learning(one)]),
        "plain": pd.DataFrame([row for one in [facts.plain] if one for row in _plain(one)]),
        "estimators": pd.DataFrame([row for one in facts.estimators for row in _estimator(one)]),
        **{
            direction_stem(one.side, one.index): pd.DataFrame(list(_furthest(one, facts)))
            for one in facts.directions
            if one.significant
        },
    }
    out: dict[str, bytes] = {}
    for name, table in named.items():
        if len(table):
            out[f"tables/{name}.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
            parquet = io.BytesIO()
            table.to_parquet(parquet, index=False)
            out[f"tables/{name}.parquet"] = parquet.getvalue()
    return out


def _direction(one: DirectionFacts) -> dict[str, object]:
    return {
        "side": one.side,
        "direction": one.index + 1,
        "variance_a": one.variance_a,
        "variance_b": one.variance_b,
        "in_sample_a": one.in_sample_a,
        "in_sample_b": one.in_sample_b,
        "null_p": one.null_p,
        "p_adjusted": one.p_adjusted,
        "stability": one.stability,
        "overlap": one.overlap,
        "significant": one.significant,
        "models_needed": one.models_needed,
        "carried_by_targets": one.carried_targets,
        "carried_by_train": one.carried_train,
        **{
            f"{name}{suffix}": value
            for name, values in one.intervals.items()
            for suffix, value in zip(("", "_low", "_high"), values, strict=True)
        },
    }


def _effect(one: EffectFacts) -> Iterator[dict[str, object]]:
    """Yield a row an intensity; what was tested is known at full intensity alone."""
    full = one.intensities.max()
    curves = {"probability_a": one.a, "probability_b": one.b, "margin_a": one.margin_a, "margin_b": one.margin_b}
    tested = {
        "difference": one.difference,
        "difference_low": one.difference_low,
        "difference_high": one.difference_high,
        "p_adjusted": one.p_adjusted,
        "margin_difference": one.margin_difference,
        "margin_difference_low": one.margin_difference_low,
        "margin_difference_high": one.margin_difference_high,
        "margin_p_adjusted": one.margin_p_adjusted,
    }
    for at, intensity in enumerate(one.intensities):
        yield {
            "transformation": one.name,
            "class": one.class_name,
            "found_along": one.along,
            "intensity": float(intensity),
            **{name: value for prefix, curve in curves.items() for name, value in _at(prefix, curve, at)},
            **(tested if intensity == full else dict.fromkeys(tested)),
            "images": one.images,
            "distinguishing": one.distinguishing and intensity == full,
            "answer": one.verdict.answer if one.verdict and intensity == full else None,
        }


def _plain(facts: PlainFacts) -> Iterator[dict[str, object]]:
    """Yield a row a quantity and group, then one for each kind of agreement."""
    for one in facts.rows:
        yield {
            "quantity": one.name,
            "group": one.group,
            "unit": one.unit,
            **{f"a_{name}": value for name, value in vars(one.a).items()},
            **{f"b_{name}": value for name, value in vars(one.b).items()},
            **{f"difference_{name}": value for name, value in vars(one.difference).items()},
            "p_adjusted": one.p_adjusted,
            "images": one.images,
        }
    for kind, interval in facts.agreement.items():
        both = {f"difference_{name}": value for name, value in vars(interval).items()}
        yield {
            "quantity": f"agreement {kind}",
            "unit": "share",
            **both,
            "p_adjusted": facts.p if kind == "beyond" else None,
        }


def _at(prefix: str, curve: CurveFacts, at: int) -> Iterator[tuple[str, float]]:
    for name, values in ((prefix, curve.effect), (f"{prefix}_low", curve.low), (f"{prefix}_high", curve.high)):
        yield name, float(values[at])


def _estimator(one: EstimatorFacts) -> Iterator[dict[str, object]]:
    for name, score in (("a", one.a), ("b", one.b)):
        yield {"estimator": one.name, "made_from": one.source, "used": one.used, "algorithm": name, **vars(score)}


def _learning(facts: LearningFacts) -> Iterator[dict[str, object]]:
    """Yield a row an algorithm and number of models: the mean score and its standard error over the targets
    followed.
    """
    for name, curve in zip("ab", facts.curves, strict=True):
        errors = curve.scores.std(1) / math.sqrt(curve.scores.shape[1])
        for models, score, error in zip(curve.models, curve.means, errors, strict=True):
            yield {
                "algorithm": name,
                "models": int(models) + facts.held,
                "score": float(score),
                "standard_error": float(error),
            }


def _furthest(direction: DirectionFacts, facts: ReportFacts) -> Iterator[dict[str, object]]:
    """Yield the examples furthest out at both ends with their classes and flags."""
    both: tuple[tuple[str, Known], ...] = (("targets", facts.targets), ("train", facts.train))
    for part, examples in both:
        columns = flags(examples)
        for end in ends(direction.projections if part == "targets" else direction.weights, FURTHEST):
            for rank, (position, value) in enumerate(zip(end.index, end.values, strict=True), 1):
                yield {
                    "examples": part,
                    "end": end.sign,
                    "rank": rank,
                    "example": int(position),
                    "class": class_name(examples, facts.classes, position),
                    "value": float(value),
                    **{name: bool(column[position]) for name, column in columns.items()},
                }
