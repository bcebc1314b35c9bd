"""Grids of images: as tiles with captions for the page, and as one sheet for a file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from modeldiff_core.data import Known
from modeldiff_core.data.kinds import Table
from modeldiff_core.data.known import features_of, noun_of, texts_of
from modeldiff_core.report.ends import End, class_name
from modeldiff_core.report.figures import MEDIUM, PX, SMALL, house_style, saved
from modeldiff_core.report.images import image_uri, is_pixel_art, tile
from modeldiff_core.report.theme import LIGHT
from modeldiff_core.report.words import number

TOLD = 6  # columns of a long row that are shown
LONGEST = 14  # characters of a class in a caption
CELL, GAP, CAPTION, HEADING, MARGIN = 84, 8, 30, 26, 14  # CSS pixels of a sheet


@dataclass(frozen=True)
class Tile:
    """One image of a gallery: data URI, the two parts of its caption, and a description in words."""

    uri: str
    title: str
    value: str
    alt: str
    pixels: bool


@dataclass(frozen=True)
class Passage:
    """One example of a gallery that is no image: its text, and the two parts of its caption."""

    text: str
    title: str
    value: str


def passages(
    end: End, examples: Known, classes: tuple[str, ...], along: Float[np.ndarray, " examples"]
) -> list[Passage]:
    """Return the examples at an end as texts; none where they are images, or nothing is known of them.

    Of rows with more columns than TOLD those numeric columns are shown that correlate with the direction most.
    """
    texts, features = texts_of(examples), features_of(examples)
    told: list[str] = []
    if noun_of(examples) == Table.noun and len(features) > TOLD:
        with np.errstate(invalid="ignore", divide="ignore"):
            strength = {name: abs(float(np.corrcoef(along, column)[0, 1])) for name, column in features.items()}
        told = sorted(strength, key=lambda name: -np.nan_to_num(strength[name]))[:TOLD]
    return [
        Passage(
            ", ".join(f"{name} = {features[name][position]:.4g}" for name in told) + ", …" if told else texts[position],
            class_name(examples, classes, position),
            number(float(value), 2, signed=True),
        )
        for position, value in zip(end.index, end.values, strict=True)
        if texts
    ]


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its heading, images, and a caption for each."""

    heading: str
    images: Sequence[UInt8[np.ndarray, "height width channels"]]
    captions: Sequence[str]


def gallery(end: End, examples: Known, classes: tuple[str, ...], noun: str, measure: str) -> list[Tile]:
    """Tiles of the examples at an end; `noun` is what an example is called, `measure` what its value is."""
    tiles: list[Tile] = []
    if examples.images is None:
        return tiles
    for position, value in zip(end.index, end.values, strict=True):
        image, title = examples.images[position], class_name(examples, classes, position)
        text = number(float(value), 2, signed=True)
        alt = f"{noun} {position}, {f'class {title}, ' if title else ''}{measure} {text}"
        tiles.append(Tile(image_uri(image), title, text, alt, is_pixel_art(image)))
    return tiles


def end_row(
    end: End,
    images: UInt8[np.ndarray, "examples height width channels"],
    examples: Known,
    classes: tuple[str, ...],
    heading: str,
) -> Row:
    """Return an end as a row of a sheet of these images of the examples."""
    captions = [
        f"{_short(class_name(examples, classes, position))}\n{number(float(value), 2, signed=True)}"
        for position, value in zip(end.index, end.values, strict=True)
    ]
    return Row(f"{heading}, {end.sign} end", [images[position] for position in end.index], captions)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def sheet(stem: str, title: str, rows: Sequence[Row]) -> dict[str, bytes]:
    """Rows of captioned images under a title as `stem`.png and `stem`.svg."""
    columns = max([len(row.images) for row in rows] + [4])
    step = HEADING + CELL + CAPTION
    width, height = columns * (CELL + GAP) - GAP + 2 * MARGIN, HEADING + len(rows) * step + 2 * MARGIN
    with house_style():
        figure = Figure(figsize=(width * PX, height * PX), dpi=96, facecolor=LIGHT.paper)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(
            MARGIN, MARGIN, title, fontsize=MEDIUM + 1, weight="bold", va="top", color=LIGHT.ink, parse_math=False
        )
        for at, row in enumerate(rows):
            top = MARGIN + HEADING + at * step
            axes.text(MARGIN, top + 4, row.heading, fontsize=SMALL, va="top", color=LIGHT.muted, parse_math=False)
            for column, (image, caption) in enumerate(zip(row.images, row.captions, strict=True)):
                picture = tile(image, CELL).convert("RGB")
                left, upper = MARGIN + column * (CELL + GAP), top + HEADING
                wide, high = (CELL * length / max(picture.size) for length in picture.size)
                axes.imshow(np.asarray(picture), extent=(left, left + wide, upper + high, upper), interpolation="none")
                axes.text(left, upper + CELL + 3, caption, fontsize=7, va="top", color=LIGHT.ink, parse_math=False)
        axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
        return {f"{stem}.{kind}": saved(figure, kind) for kind in ("png", "svg")}
