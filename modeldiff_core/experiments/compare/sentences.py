"""What a comparison found, in a few sentences."""

from collections.abc import Mapping
from typing import Any

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.contrast_sentences import contrast_sentences
from modeldiff_core.experiments.compare.copied import copied_sentences
from modeldiff_core.experiments.compare.findings import Findings
from modeldiff_core.experiments.compare.matrix_free import product_sentences
from modeldiff_core.report.terms import Terms
from modeldiff_core.stages.directions import SIDES
from modeldiff_core.stages.smoothness import smoothness_sentences
from modeldiff_core.study.config import ComparisonConfig


def sentences(comparison: Comparison, findings: Findings, summary: Mapping[str, Any]) -> list[str]:
    """Return what was found, a line each: directions, transformations, the search, and how far they can be relied on.

    summary: everything else of summary.json.
    """
    names, directions = comparison.names, summary["directions"]
    a, b = names.values()
    if findings.contrast is not None:
        task, tested = comparison.trainings[0].task(), comparison.permutations > 0
        labels = task.targets.labels if task.targets.classed else None
        first = contrast_sentences(summary, names, labels, load_classes(comparison), tested)
        if tested:
            first[1:1] = copied_sentences(summary, findings, task.train.known, task.targets.known)
    elif findings.trainings is not None:
        told = summary["products"]
        first = [
            *product_sentences(told, directions, comparison.study.comparison),
            *smoothness_sentences(names, told["smoothness"], told["repeatability"]),
        ]
    else:
        settings, drawn = comparison.study.comparison, comparison.permutations
        first = [about_directions(settings, directions, a, b, drawn)]
    said = [
        *first,
        _about_transformations(comparison, summary["transformations"], a, b),
        *about_search(comparison, directions, summary["found"], a, b),
        *about_undecided([*summary["transformations"], *summary["found"]]),
        about_datamodels(findings, a, b),
        *about_ceilings(findings, a, b),
    ]
    return [terms_of(comparison).said(line) for line in said]


def terms_of(comparison: Comparison) -> Terms:
    """Return what the examples and outputs of a comparison are called."""
    data = comparison.trainings[0].load()
    return Terms(data.kind.noun, "" if data.target is None else data.target.name)


def about_datamodels(findings: Findings, a: str, b: str) -> str:
    """Return how well the datamodels predict, and how accurate the models are where their outputs tell."""
    named = zip(findings.scores, (a, b), strict=True)
    found = " and ".join(f"{s['lds']['corrected']:.2f} ({s['models']:,} models of {n})" for s, n in named)
    right = [score["subset_accuracy"] for score in findings.scores]
    if findings.trainings is not None:
        trainings = findings.scores[0]["trainings"]
        return (
            f"Derivatives of {trainings} training{'' if trainings == 1 else 's'} predict models on other subsets with "
            f"rank correlation {found}{_accuracy(right)}."
        )
    return f"Datamodels predict models that they never saw with rank correlation {found}{_accuracy(right)}."


def about_ceilings(findings: Findings, a: str, b: str) -> list[str]:
    """Return the scores against the mean over seeds, as a share of the most that chance allows; nothing of one seed."""
    found = [score.get("reliability") for score in findings.scores]
    if None in found:
        return []
    told = [_of_ceiling(one, name) for one, name in zip(found, (a, b), strict=True) if one is not None]
    first = found[0]
    seeds = first["seeds"] if first else 0
    return [f"Against the mean of {seeds} models of each held-out mask the correlation is {' and '.join(told)}."]


def _of_ceiling(one: Mapping[str, Any], name: str) -> str:
    said, most, share = f"{one['mean']['value']:.2f} for {name}", one["ceiling_mean"]["value"], one["share"]
    if share is None:
        return f"{said} (models of one mask agree too little to tell the most that is possible)"
    ends = f"[{100 * share['low']:.0f}, {100 * share['high']:.0f}]"
    return f"{said}, {100 * share['value']:.0f} % {ends} of the most that is possible ({most:.2f})"


def _accuracy(right: list[float | None]) -> str:
    known = [one for one in right if one is not None]
    return "; accuracy " + " and ".join(f"{100 * r:.1f} %" for r in known) if len(known) == len(right) else ""


def about_directions(
    settings: ComparisonConfig, directions: list[dict[str, Any]], a: str, b: str, permutations: int
) -> str:
    """Return how many directions tell the algorithms apart.

    permutations: how many were drawn; none for an estimator that cannot be fitted again.
    """
    counts = {side: sum(d["significant"] for d in directions if d["side"] == side) for side in SIDES}
    if not settings.permutations:
        return "Directions were not tested against chance (comparison.permutations=0)."
    if not permutations:
        return (
            "Directions were not tested against chance: no margins enter this estimator that could be exchanged "
            "between the algorithms."
        )
    if not any(counts.values()):
        return (
            f"No training direction tells {a} and {b} apart beyond chance ({settings.components} tried on each side)."
        )
    return (
        f"{counts['a-b']} of {settings.components} directions matter more to {a} than to {b}, {counts['b-a']} of "
        f"{settings.components} more to {b} (adjusted p ≤ {settings.significance:g})."
    )


def _about_transformations(comparison: Comparison, effects: list[dict[str, Any]], a: str, b: str) -> str:
    if not effects:
        return "No transformation was tried."
    found = sorted((e for e in effects if e["distinguishing"]), key=lambda e: -abs(e["difference"]))
    if not found:
        if len(effects) == 1:
            return "The one transformation tried is not distinguishing."
        return f"None of the {len(effects)} transformations tried is distinguishing."
    best, classes = found[0], load_classes(comparison)
    of = "own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [f"{100 * best['effect'][name]:+.1f}".replace("-", "−") for name in ("a", "b")]
    return (
        f"{len(found)} of {len(effects)} transformations tried {'is' if len(found) == 1 else 'are'} distinguishing: "
        f"{best['name']} changes P({of}) by {points[0]} points for {a} and by {points[1]} for {b}."
    )


def about_search(
    comparison: Comparison, directions: list[dict[str, Any]], found: list[dict[str, Any]], a: str, b: str
) -> list[str]:
    """Return what the search confirmed, or that it had no significant direction to go along; nothing if it was left
    out.
    """
    if not found:
        idle = comparison.study.search.directions and not any(d["significant"] for d in directions)
        return ["No transformation was searched for, since no direction is significant."] if idle else []
    confirmed = sorted((e for e in found if e["distinguishing"]), key=lambda e: -abs(e["difference"]))
    along = len({(d["side"], d["index"]) for e in found for d in e["along"]})
    where = f"along {along} direction{'' if along == 1 else 's'}"
    put = f"{len(found)} transformation{'' if len(found) == 1 else 's'}"
    if not confirmed:
        return [
            f"The search {where} put {put} to the test on images and models that had not chosen them, and confirmed "
            "none."
        ]
    best, classes = confirmed[0], load_classes(comparison)
    of = "own class" if best["class"] is None else f"class {classes[best['class']]}"
    points = [f"{100 * best['effect'][name]:+.1f}".replace("-", "−") for name in ("a", "b")]
    return [
        f"The search {where} confirmed {len(confirmed)} of the {put} that it put to the test on "
        f"images and models that had not chosen them: {best['name']} changes P({of}) by {points[0]} points for {a} and "
        f"by {points[1]} for {b}."
    ]


def about_undecided(effects: list[dict[str, Any]]) -> list[str]:
    """Return which transformations could not be decided and what would decide the first; nothing if all could."""
    left = [e for e in effects if e["verdict"]["answer"] == "undecided"]
    if not left:
        return []
    first = max(left, key=lambda e: abs(e["difference"]))
    verdict = first["verdict"]
    said = f"{first['name']} ({verdict['why']})"
    if verdict["models"] is None:
        would = "how many models or images would decide cannot be told"
    else:
        would = f"about {verdict['models']:,} models of each and {verdict['images']:,} images would decide"
    many = "One transformation is" if len(left) == 1 else f"{len(left)} transformations are"
    return [f"{many} undecided{': ' if len(left) == 1 else ', among them '}{said}; {would}."]


def load_classes(comparison: Comparison) -> tuple[str, ...]:
    """Return the names of the classes."""
    return comparison.trainings[0].load().classes
