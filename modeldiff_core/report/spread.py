"""What the page says and shows of the difference in spread."""

from dataclasses import dataclass

from modeldiff_core.report.ends import ends
from modeldiff_core.report.facts import ReportFacts, SpreadFacts
from modeldiff_core.report.galleries import Passage, Tile, gallery, passages
from modeldiff_core.report.words import probability

SHOWN = 6
"""Training examples shown at each end."""


@dataclass(frozen=True)
class SpreadEndView:
    """The training examples that make one of the algorithms unstable."""

    heading: str
    tiles: list[Tile]
    texts: list[Passage]


@dataclass(frozen=True)
class SpreadView:
    """Sentences, and the training examples at both ends where the difference is significant."""

    words: list[str]
    ends: list[SpreadEndView]


def spread_view(facts: ReportFacts) -> SpreadView | None:
    """Return the difference in spread as the page shows it; None where it was not looked for."""
    found = facts.spread
    if found is None:
        return None
    shown = []
    if found.significant:
        for end, name, other in zip(ends(found.weights, SHOWN), "AB", "BA", strict=True):
            heading = f"Left in, they make {name} less stable than {other}"
            tiles = gallery(end, facts.train, facts.classes, "Training image", "weight")
            shown.append(SpreadEndView(heading, tiles, passages(end, facts.train, facts.classes, found.weights)))
    return SpreadView(_words(found), shown)


def _words(found: SpreadFacts) -> list[str]:
    measured = (
        "how far models of one subset lie apart"
        if found.kind == "spread"
        else "squared residuals of the datamodels (with one model a subset spread and misfit cannot be told apart)"
    )
    text = probability(found.p)
    p = text if text.startswith("<") else f"= {text}"
    if not found.significant:
        return [f"No training examples make one algorithm less stable beyond chance, by {measured} (p {p})."]
    return [
        f"Some training examples make one algorithm less stable than the other, by {measured} (p {p}).",
        f"About {found.carried_train:.0f} training examples carry it, and it shows on about "
        f"{found.carried_targets:.0f} of the {len(found.targets)} test examples that were compared.",
    ]
