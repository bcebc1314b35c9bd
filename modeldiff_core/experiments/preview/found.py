"""What a preview found: directions, the examples at their ends, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.identity import plain
from modeldiff_core.report.figures import Plot, plot
from modeldiff_core.report.theme import Theme
from modeldiff_core.stages.matrix_free import OF_EACH, MatrixFree, read_directions_of
from modeldiff_core.stages.search import BOTH, Search, read_proposed
from modeldiff_core.stages.smoothness import smoothness_sentences
from modeldiff_core.store import ObjectStore, read_tensors
from modeldiff_core.study import StudyConfig
from modeldiff_core.study.preview import PreviewConfig
from modeldiff_core.transformations import TransformationTest, build_on, eligible_images
from modeldiff_core.transformations.search import best, image_halves

SHOWN = 8
"""Images at an end of a direction in a figure."""
RANKED = 5
"""Candidates of a direction in the table."""
CELL = 66
"""CSS pixels of an image with its margin."""


def find(store: ObjectStore, asked: PreviewConfig, pair: MatrixFree, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the summary of a preview from its stored directions."""
    found = read_directions_of(store, pair)
    cost, arrays = found.cost, found.content.arrays
    entries = []
    for side, index in found.ranked():
        told = {what: _number(found.told(side, index, what)) for what in OF_EACH}
        targets, train = arrays[f"{side}.projections"][:, index], arrays[f"{side}.directions"][index]
        entries.append(
            {
                "side": side,
                "index": index,
                "p": told["p"],
                "variance": {"a": told["variance_a"], "b": told["variance_b"]},
                "stability": told["stability"],
                "overlap": told["overlap"],
                **_ends(targets, train, asked.top),
            }
        )
    return {
        "algorithms": dict(names),
        "trainings": asked.trainings,
        "diverged": len(found.left_out),
        "tested": found.tested,
        "missed": found.missed,
        "repeatability": dict(zip("ab", found.repeatability, strict=True)),
        "products": {"reverse": cost["reverse"], "forward": cost["forward"]},
        "differentiated": cost["trainings"],
        "targets": len(arrays["similarity"]),
        "directions": entries,
    }


def candidates(store: ObjectStore, searched: Sequence[Search]) -> list[dict[str, Any]]:
    """Return the transformations proposed along directions, the largest difference first, at full intensity."""
    entries = []
    for search in searched:
        effects = [
            read_tensors(store, search.candidates(which).record, {"candidates": search.candidates(which).digest})
            for which in BOTH
        ]
        of_a, of_b = (one.arrays["effects"] for one in effects)
        tests = read_proposed(store, search)
        for rank, at in enumerate(best(of_a, of_b, len(tests))):
            entries.append(
                {
                    "rank": rank,
                    "along": {"side": search.side, "index": search.index},
                    **plain_of(tests[at]),
                    "effect": {"a": float(of_a[at]), "b": float(of_b[at])},
                }
            )
    return entries


def plain_of(test: TransformationTest) -> dict[str, Any]:
    """Return a transformation as a study names it under ``transformations``."""
    found = plain(test)
    assert isinstance(found, dict)
    return found


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


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
    many = f"{trainings} training{'' if trainings == 1 else 's'}"
    said = [f"{many} of each algorithm, {cost['reverse']} reverse and {cost['forward']} forward products."]
    if summary["diverged"]:
        pairs = "1 pair" if summary["diverged"] == 1 else f"{summary['diverged']} pairs"
        said.append(f"{pairs} of trainings diverged and were left out.")
    said += smoothness_sentences(names, summary["smoothness"], summary["repeatability"])
    if summary["candidates"]:
        said.append(_about_candidates(summary, classes))
    if summary["tested"]:
        tested = [entry for entry in summary["directions"] if entry["p"] is not None]
        real = sum(entry["p"] <= study.comparison.significance for entry in tested)
        said.append(
            f"{real} of {len(tested)} directions have p of {study.comparison.significance:g} or less, adjusted over "
            "all directions, with whole trainings as replicates."
        )
    else:
        said.append(
            "Cannot be tested: whether a direction is more than noise cannot be told from so few trainings; there is "
            "a p from 6 of each on (preview.trainings)."
        )
    said.append(
        f"A full comparison (modeldiff compare, {study.subsets.models:,} subset models of each algorithm) adds "
        "scores on models that nothing was fitted on, a test of every direction, and effects of transformations with "
        "intervals on images and models that did not choose them; the same from 6 trainings of each or more "
        "(comparison.method=matrix_free) takes the basis found here."
    )
    rows = [direction_row(entry, names, entry["variance"], "") for entry in summary["directions"]]
    described = (
        "Variance: sum over targets of the squared derivative along the direction, as a share of all in the basis. "
        "Stability: |cosine| of the versions from the even and the odd trainings."
    )
    tables = [Table("Directions", rows, described)]
    if summary["candidates"]:
        models = summary["ranking_models"]
        lines = [_line(one, names, classes) for one in summary["candidates"] if one["rank"] < RANKED]
        words = (
            f"Mean change of a class probability at full intensity, on {models - models // 2} models of each trained "
            "on all data: ranked, not tested."
        )
        tables.append(Table("Candidate transformations", lines, words))
    return Shown(f"Preview of {name}", tuple(said), tuple(tables))


def _about_candidates(summary: Mapping[str, Any], classes: tuple[str, ...]) -> str:
    entries = summary["candidates"]
    first = max(entries, key=lambda one: abs(one["effect"]["a"] - one["effect"]["b"]))
    names = summary["algorithms"]
    of = "the own class" if first["target_class"] is None else f"class {classes[first['target_class']]}"
    points = [f"{100 * first['effect'][letter]:+.1f}".replace("-", "−") for letter in ("a", "b")]
    return (
        f"Of {len(entries)} candidate transformations {first['name']} parts the two most: P({of}) changes by "
        f"{points[0]} points for {names['a']} and by {points[1]} for {names['b']}, on the images that proposed it; "
        "nothing was confirmed."
    )


def _line(one: Mapping[str, Any], names: Mapping[str, str], classes: tuple[str, ...]) -> dict[str, str]:
    side, index = one["along"]["side"], one["along"]["index"]
    return {
        "transformation": one["name"],
        "along": f"{names[side[0]]} − {names[side[2]]}, {index + 1}",
        "class": "own" if one["target_class"] is None else classes[one["target_class"]],
        f"effect, {names['a']}": f"{one['effect']['a']:+.4f}",
        f"effect, {names['b']}": f"{one['effect']['b']:+.4f}",
    }


def ends_sheets(summary: Mapping[str, Any], data: Dataset) -> dict[str, Plot]:
    """Return figures of the images at both ends of each direction, by caption."""
    names, test, train = summary["algorithms"], data.test, data.train
    found = {}
    for entry in summary["directions"]:
        first, second = entry["side"].split("-")
        place = f"{names[first]} minus {names[second]}, direction {entry['index'] + 1}"
        for what, examples in (("targets", test), ("train", train)):
            rows = [_titled(examples, entry[f"{end}_{what}"][:SHOWN], data.classes) for end in ("top", "bottom")]
            kind = "test" if what == "targets" else "training"
            found[f"{place}: {kind} images at its two ends"] = _sheet(rows)
    return found


def sheets(summary: Mapping[str, Any], data: Dataset, study: StudyConfig) -> dict[str, Plot]:
    """Return figures by caption: the images at both ends of each direction, and the first candidates done to images."""
    test, found = data.test, ends_sheets(summary, data)
    for one in summary["candidates"]:
        if one["rank"]:
            continue
        given = {name: one[name] for name in ("name", "kind", "target_class", "parameters")}
        done = TransformationTest(**given, intensities=tuple(one["intensities"]))
        half, _ = image_halves(summary["targets"], study.search.seed)
        chosen = half[eligible_images(test.labels[half], {}, done.target_class, SHOWN, study.effects.seed)]
        shown = test.select(chosen)
        after = replace(shown, images=build_on(done, shown)(shown.images, done.intensities[-1]))
        places = list(range(len(chosen)))
        rows = [_titled(examples, places, data.classes) for examples in (shown, after)]
        found[f"{one['name']}: test images without it and with it"] = _sheet(rows)
    return found


Titled = list[tuple[np.ndarray, str]]
"""Images with the caption above each."""


def _titled(examples: Examples, places: list[int], classes: tuple[str, ...]) -> Titled:
    return [(examples.images[at], classes[examples.labels[at]]) for at in places]


def _sheet(rows: list[Titled]) -> Plot:
    """Draw rows of images on one pair of axes, which takes a fraction of the time of one pair for each."""
    columns, cell = max(len(row) for row in rows), CELL + 16

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.add_subplot()
        axes.axis("off")
        for at, row in enumerate(rows):
            top = (len(rows) - at) * cell
            for column, (image, title) in enumerate(row):
                left = column * CELL
                place = (left + 3, left + CELL - 3, top - cell + 3, top - 19)
                pixels = image[..., 0] if image.shape[2] == 1 else image
                axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=place, interpolation="nearest")
                axes.text(left + CELL / 2, top - 14, title, ha="center", fontsize=7, color=theme.ink)
        axes.set(xlim=(0, columns * CELL), ylim=(0, len(rows) * cell), aspect="auto")

    return plot(paint, CELL * columns, cell * len(rows))


def direction_row(
    entry: Mapping[str, Any], names: Mapping[str, str], variance: Mapping[str, float], untested: str
) -> dict[str, str]:
    """Return a direction of a summary as a row of the table of directions.

    Args:
        entry: The direction.
        names: Of A and B.
        variance: Along it, under A and under B.
        untested: What is shown where there is no p.
    """
    ends = (", ".join(map(str, entry[f"{end}_targets"][:4])) for end in ("top", "bottom"))
    return {
        "direction": f"{names[entry['side'][0]]} − {names[entry['side'][2]]}, {entry['index'] + 1}",
        "p": untested if entry["p"] is None else f"{entry['p']:.3f}",
        "variance under A": f"{variance['a']:.3g}",
        "variance under B": f"{variance['b']:.3g}",
        "stability": "" if entry["stability"] is None else f"{entry['stability']:.2f}",
        "targets at its ends": " / ".join(ends),
    }
