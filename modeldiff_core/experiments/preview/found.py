"""What a preview found: directions, the examples at their ends, and what they cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.comparison.trainings import contrast_of_trainings, residual_directions
from modeldiff_core.data import Dataset
from modeldiff_core.errors import Diverged
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.report.figures import Plot, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.stages.products import CommonBasis, Forward, read_finite
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig
from modeldiff_core.study.preview import PreviewConfig

SHOWN = 8
"""Images at an end of a direction in a figure."""
CELL = 66
"""CSS pixels of an image with its margin."""


def find(
    store: ObjectStore,
    asked: PreviewConfig,
    basis: CommonBasis,
    forward: tuple[tuple[Forward, ...], tuple[Forward, ...]],
    names: Mapping[str, str],
) -> dict[str, Any]:
    """Return the summary of a preview from its stored products.

    Trainings of which either side diverged are left out in pairs and counted.
    """
    found = [[read_finite(store, one.product) for one in side] for side in forward]
    pairs = [(a, b) for a, b in zip(*found, strict=True) if a is not None and b is not None]
    if not pairs:
        raise Diverged("no pair of trainings has derivatives that are finite. Lower recipe.learning_rate")
    a, b = (np.stack([pair[side] for pair in pairs]).astype(np.float64) for side in (0, 1))
    vectors = basis.product.read(store)["vectors"].astype(np.float64)
    made = (*basis.a, *basis.b), [one for side in forward for one in side]
    return {
        "algorithms": dict(names),
        "trainings": asked.trainings,
        "diverged": asked.trainings - len(pairs),
        "tested": asked.tested,
        "products": {
            "reverse": asked.probes * len(made[0]),
            "forward": basis.size * len(made[1]),
        },
        "directions": _tested(a, b, vectors, asked) if asked.tested else _residual(a, b, vectors, asked),
    }


def _residual(a: np.ndarray, b: np.ndarray, vectors: np.ndarray, asked: PreviewConfig) -> list[dict[str, Any]]:
    """Return directions of both residual analyses, each from the mean over trainings."""
    means = {"a": a.mean(0), "b": b.mean(0)}
    entries = []
    for side, (first, second) in {"a-b": ("a", "b"), "b-a": ("b", "a")}.items():
        found, projections = residual_directions(means[first], means[second], asked.components)
        for index, coefficients in enumerate(found):
            variance = {name: float(np.square(mean @ coefficients).sum()) for name, mean in means.items()}
            ends = _ends(projections[:, index], vectors @ coefficients, asked.top)
            entries.append({"side": side, "index": index, "p": None, "variance": variance, **ends})
    return entries


def _tested(a: np.ndarray, b: np.ndarray, vectors: np.ndarray, asked: PreviewConfig) -> list[dict[str, Any]]:
    """Return directions of the contrast with trainings as replicates."""
    found = contrast_of_trainings(a, b, min(2 * asked.components, a.shape[2]), seed=asked.seed)
    entries, counted = [], {"a-b": 0, "b-a": 0}
    for at, side in enumerate(found.sides):
        if counted[side] == asked.components:
            continue
        variance = {"a": float(found.variance_a[at]), "b": float(found.variance_b[at])}
        ends = _ends(found.projections[:, at], vectors @ found.coefficients[at], asked.top)
        p = None if found.p is None else float(found.p[at])
        entries.append({"side": side, "index": counted[side], "p": p, "variance": variance, **ends})
        counted[side] += 1
    return entries


def _ends(projections: np.ndarray, direction: np.ndarray, top: int) -> dict[str, list[int]]:
    targets, train = np.argsort(projections), np.argsort(direction)
    return {
        "top_targets": targets[::-1][:top].tolist(),
        "bottom_targets": targets[:top].tolist(),
        "top_train": train[::-1][:top].tolist(),
        "bottom_train": train[:top].tolist(),
    }


def present(name: str, summary: Mapping[str, Any], classes: tuple[str, ...], study: StudyConfig) -> Shown:
    """Return a preview for any screen."""
    cost, trainings, names = summary["products"], summary["trainings"], summary["algorithms"]
    said = [
        f"{trainings} trainings of each algorithm, {cost['reverse']} reverse and {cost['forward']} forward products.",
    ]
    if summary["diverged"]:
        said.append(f"{summary['diverged']} pairs of trainings diverged and were left out.")
    if summary["tested"]:
        tested = [entry for entry in summary["directions"] if entry["p"] is not None]
        real = sum(entry["p"] <= study.comparison.significance for entry in tested)
        said.append(
            f"{real} of {len(tested)} directions have p of {study.comparison.significance:g} or less, adjusted over "
            "all directions, with whole trainings as replicates."
        )
    else:
        said.append(
            "Whether a direction is more than noise cannot be told from so few trainings: there is a p from 6 of each "
            "on (preview.trainings)."
        )
    said.append(
        f"A full comparison ({study.subsets.models:,} subset models of each algorithm) adds scores on models that "
        "nothing was fitted on, a test of every direction, and effects of transformations."
    )
    rows = [
        {
            "direction": f"{names[entry['side'][0]]} − {names[entry['side'][2]]}, {entry['index'] + 1}",
            "p": "" if entry["p"] is None else f"{entry['p']:.3f}",
            "variance under A": f"{entry['variance']['a']:.3g}",
            "variance under B": f"{entry['variance']['b']:.3g}",
            "targets at its ends": ", ".join(map(str, entry["top_targets"][:4]))
            + " / "
            + ", ".join(map(str, entry["bottom_targets"][:4])),
        }
        for entry in summary["directions"]
    ]
    described = "Variance: sum over targets of the squared derivative along the direction."
    return Shown(f"Preview of {name}", tuple(said), (Table("Directions", rows, described),))


def sheets(summary: Mapping[str, Any], data: Dataset) -> dict[str, Plot]:
    """Return a figure of the test images at both ends of each direction, by caption."""
    names = summary["algorithms"]
    found = {}
    for entry in summary["directions"]:
        first, second = entry["side"].split("-")
        caption = f"{names[first]} minus {names[second]}, direction {entry['index'] + 1}: test images at its two ends"
        found[caption] = _sheet([entry["top_targets"][:SHOWN], entry["bottom_targets"][:SHOWN]], data)
    return found


def _sheet(rows: list[list[int]], data: Dataset) -> Plot:
    columns = max(len(row) for row in rows)

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for line, row in zip(axes, rows, strict=True):
            for axis in line:
                axis.axis("off")
            for axis, position in zip(line, row, strict=False):
                image = data.test.images[position]
                axis.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
                axis.set_title(data.classes[data.test.labels[position]], fontsize=7, color=theme.ink)

    return plot(paint, CELL * columns, (CELL + 16) * len(rows))
