"""What the page says about each direction."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from modeldiff_core.data import Known, nothing_known
from modeldiff_core.data.known import texts_of
from modeldiff_core.report.ends import End, class_counts, ends, listed, shares
from modeldiff_core.report.facts import DirectionFacts, ReportFacts, Side
from modeldiff_core.report.galleries import Passage, Tile, end_row, gallery, passages, sheet
from modeldiff_core.report.subpopulations import SharedView, shared_view
from modeldiff_core.report.words import ABSENT, direction_name, direction_stem, number, probability, side_name, variance

SHOWN, SHOWN_FAINT = 12, 6  # images at an end of a significant direction, and of one that is not
FAINT_KEPT = 10  # directions of a side that are shown though not significant


@dataclass(frozen=True)
class EndView:
    """One end of a direction: its examples and what they share.

    texts: in the place of tiles where examples are no images; positions: where nothing of them can be shown. known:
    whether anything is, of these examples.
    """

    sign: str
    counts: str
    shares: list[str]
    tiles: list[Tile]
    texts: list[Passage]
    positions: str
    known: bool
    shared: SharedView | None


@dataclass(frozen=True)
class DirectionView:
    """A direction as the page shows it; bar_a and bar_b are widths in percent of the side's widest bar.

    found: whether it is significant, in words.
    """

    stem: str
    name: str
    side: Side
    significant: bool
    variance_a: str
    variance_b: str
    in_sample_a: str
    in_sample_b: str
    difference: str
    share: str
    bar_a: str
    bar_b: str
    null_p: str
    p_adjusted: str
    found: str
    stability: str
    overlap: str
    models_needed: str
    carried: str
    carriers: str
    copies: list[str]
    targets: list[EndView]
    train: list[EndView]
    shown: bool


@dataclass(frozen=True)
class SideView:
    """The directions of one side, significant ones first."""

    side: Side
    name: str
    more: str
    less: str
    directions: list[DirectionView]
    significant: int


def side_view(facts: ReportFacts, side: Side) -> SideView:
    """Return all directions of a side, significant ones first, those beyond what is worth showing without galleries."""
    own = sorted((d for d in facts.directions if d.side == side), key=lambda d: (not d.significant, d.index))
    significant = sum(d.significant for d in own)
    widest = max([abs(v) for d in own for v in (d.variance_a, d.variance_b) if math.isfinite(v)], default=0.0) or 1.0
    views = [_view(facts, d, widest, shown=at < significant + FAINT_KEPT) for at, d in enumerate(own)]
    more, less = ("A", "B") if side == "a-b" else ("B", "A")
    return SideView(side, side_name(side), more, less, views, significant)


def _view(facts: ReportFacts, direction: DirectionFacts, widest: float, *, shown: bool) -> DirectionView:
    own, other = direction.variance_a, direction.variance_b
    more, less = (own, other) if direction.side == "a-b" else (other, own)
    return DirectionView(
        stem=direction_stem(direction.side, direction.index),
        name=direction_name(direction.side, direction.index),
        side=direction.side,
        significant=direction.significant,
        variance_a=_spanned(direction, "a") or variance(own),
        variance_b=_spanned(direction, "b") or variance(other),
        in_sample_a=variance(direction.in_sample_a),
        in_sample_b=variance(direction.in_sample_b),
        difference=_spanned(direction, "difference") or number(more - less, 4, signed=True),
        share=_spanned(direction, "share"),
        bar_a=_bar(own, widest),
        bar_b=_bar(other, widest),
        null_p=probability(direction.null_p) if facts.calibrated else ABSENT,
        p_adjusted=probability(direction.p_adjusted) if facts.calibrated else ABSENT,
        found=("yes" if direction.significant else "no") if facts.calibrated else ABSENT,
        stability=number(direction.stability),
        overlap=number(direction.overlap),
        models_needed=_needed(facts, direction),
        carried=_carried(direction, facts),
        carriers=f"{number(direction.carried_targets, 0)} / {number(direction.carried_train, 0)}",
        copies=list(direction.copies),
        targets=_ends(direction, facts, "targets") if shown else [],
        train=_ends(direction, facts, "train") if shown else [],
        shown=shown,
    )


def _spanned(direction: DirectionFacts, name: str) -> str:
    """Return a number with its interval, a share in percent; '' where there are no intervals."""
    if name not in direction.intervals:
        return ""
    scale, places = (100, 0) if name == "share" else (1, 4)
    value, low, high = (number(one, places, scale=scale) for one in direction.intervals[name])
    unit = "\u00a0%" if name == "share" and value != ABSENT else ""
    return value if ABSENT in (low, high) else f"{value}{unit} [{low}, {high}]"


def _bar(value: float, widest: float) -> str:
    return f"{100 * min(1.0, max(0.0, value / widest)) if math.isfinite(value) else 0:.1f}"


def _chosen(direction: DirectionFacts, facts: ReportFacts, of: str) -> tuple[tuple[End, End], Known]:
    count = SHOWN if direction.significant else SHOWN_FAINT
    if of == "targets":
        return ends(direction.projections, count), facts.targets
    return ends(direction.weights, count), facts.train


def _ends(direction: DirectionFacts, facts: ReportFacts, of: str) -> list[EndView]:
    both, examples = _chosen(direction, facts, of)
    noun, measure = ("Test image", "projection") if of == "targets" else ("Training image", "weight")
    along = direction.projections if of == "targets" else direction.weights
    return [
        EndView(
            sign=end.sign,
            counts=class_counts(end, examples, facts.classes),
            shares=shares(end, examples),
            tiles=gallery(end, examples, facts.classes, noun, measure),
            texts=passages(end, examples, facts.classes, along),
            positions=listed(end) if examples.images is None and not texts_of(examples) else "",
            known=not nothing_known(examples),
            shared=shared_view(direction.ends.get((of, end.sign))),
        )
        for end in both
    ]


def direction_sheets(facts: ReportFacts) -> Iterator[tuple[str, bytes]]:
    """Yield a sheet of images for each significant direction, with its file names; none without images."""
    for direction in facts.directions:
        if not direction.significant:
            continue
        rows = []
        for of, heading in (("targets", "Test images by projection"), ("train", "Training images by weight")):
            both, examples = _chosen(direction, facts, of)
            if examples.images is not None:
                rows += [end_row(end, examples.images, examples, facts.classes, heading) for end in both]
        if not rows:
            continue
        name = direction_name(direction.side, direction.index)
        under_a, under_b = variance(direction.variance_a), variance(direction.variance_b)
        title = f"Direction {name}: variance {under_a} under A, {under_b} under B"
        yield from sheet(f"figures/{direction_stem(direction.side, direction.index)}", title, rows).items()


def _needed(facts: ReportFacts, direction: DirectionFacts) -> str:
    """Return the models that a direction needs to stand out, or that they cannot be told where it was tested."""
    if direction.models_needed is not None:
        return f"{direction.models_needed:,}"
    return "cannot be told" if facts.calibrated and not direction.significant else ABSENT


def _carried(direction: DirectionFacts, facts: ReportFacts) -> str:
    """Return by how many test and training examples a direction is carried, in words; empty where it is not known."""
    if not math.isfinite(direction.carried_targets):
        return ""
    kind = "example" if facts.targets.images is None and not texts_of(facts.targets) else "image"
    said = [
        f"one {part} {kind}" if count < 1.5 else f"about {count:.0f} {part} {kind}s"
        for part, count in (("test", direction.carried_targets), ("training", direction.carried_train))
    ]
    return f"It is carried by {said[0]} and {said[1]} (participation numbers)."
