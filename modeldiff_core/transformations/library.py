"""The contract of a transformation, and the kinds that can be named.

A transformation is a frozen dataclass whose fields are its settings. Register a class under the entry-point group
``modeldiff.transformations`` and configurations can name it as ``kind``.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import PICTURES, Inputs, Table, Tokens
from modeldiff_core.errors import ConfigError
from modeldiff_core.registry import Registry
from modeldiff_core.transformations.backgrounds import Background
from modeldiff_core.transformations.columns import SetColumn, ShiftColumn
from modeldiff_core.transformations.filters import Band, Blur, Contrast, Grey, HighPass, LowPass, Noise
from modeldiff_core.transformations.geometry import Crop, Rotate, Translate
from modeldiff_core.transformations.paper import (
    BlackWhiteTexture,
    Face,
    PolkaDots,
    Rectangle,
    SpiderWeb,
    YellowSquare,
)
from modeldiff_core.transformations.patches import Occlusion, Overlay, Patch, Stamp, Tint, WatermarkPatch
from modeldiff_core.transformations.patterns import Pattern, Texture
from modeldiff_core.transformations.pixels import require
from modeldiff_core.transformations.places import Place
from modeldiff_core.transformations.words import InsertToken, MaskTokens, ReplaceToken


@runtime_checkable
class Transformation(Protocol):
    """A change F of images that may matter to one algorithm and not to the other (arXiv 2211.12491).

    One of other examples names their kinds in a class variable ``takes``.
    """

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        """F at an intensity in 0..1; the images themselves at 0.

        Each result must be a pure function of the settings, its own image and the intensity.
        """
        ...

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ConfigError if images of this height, width and number of channels do not suit the settings."""
        ...


@runtime_checkable
class KnowsExamples(Protocol):
    """A transformation that needs more of an example than its pixels, such as a mask in its metadata."""

    def on(self, examples: Examples) -> Transformation:
        """F of these examples, in their order; raises ConfigError if they lack what it needs."""
        ...


def taken_by(kind: type) -> tuple[str, ...]:
    """Return the kinds of examples that a kind of transformations takes, its ``takes``; images where it says none."""
    return getattr(kind, "takes", (PICTURES.name,))


def on_examples(transformation: Transformation, examples: Examples) -> Transformation:
    """Return the transformation, bound to the examples whose images it will be given if it needs them."""
    return transformation.on(examples) if isinstance(transformation, KnowsExamples) else transformation


@dataclass(frozen=True)
class Chain:
    """Several transformations, one after the other, each at the same intensity."""

    steps: tuple[Transformation, ...]
    takes: ClassVar[tuple[str, ...]] = (PICTURES.name, Table.name, Tokens.name)

    def __post_init__(self) -> None:
        require(len(self.steps) > 0, "steps", "one transformation or more", self.steps)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        for step in self.steps:
            step.check(image_shape)

    def on(self, examples: Examples) -> "Chain":
        """Return the chain of these examples."""
        for step in self.steps:
            if examples.kind.name not in taken_by(type(step)):
                said = f"steps that take {examples.kind.noun}s"
                raise ConfigError("transformations.steps", said, type(step).__name__.lower())
        return Chain(tuple(on_examples(step, examples) for step in self.steps))

    def __call__(self, images: Inputs, intensity: float) -> Inputs:
        for step in self.steps:
            images = step(images, intensity)
        return images


TRANSFORMATIONS: Registry[type[Transformation]] = Registry(
    "modeldiff.transformations",
    "transformations.kind",
    {
        "background": Background,
        "band": Band,
        "black_white_texture": BlackWhiteTexture,
        "blur": Blur,
        "chain": Chain,
        "contrast": Contrast,
        "crop": Crop,
        "face": Face,
        "grey": Grey,
        "high_pass": HighPass,
        "insert_token": InsertToken,
        "low_pass": LowPass,
        "mask_tokens": MaskTokens,
        "noise": Noise,
        "occlude": Occlusion,
        "overlay": Overlay,
        "patch": Patch,
        "pattern": Pattern,
        "place": Place,
        "polka_dots": PolkaDots,
        "rectangle": Rectangle,
        "replace_token": ReplaceToken,
        "rotate": Rotate,
        "set_column": SetColumn,
        "shift_column": ShiftColumn,
        "spider_web": SpiderWeb,
        "stamp": Stamp,
        "texture": Texture,
        "tint": Tint,
        "translate": Translate,
        "watermark": WatermarkPatch,
        "yellow_square": YellowSquare,
    },
)
"""Kinds of transformations by the name that ``transformations.<name>.kind`` gives; others register as entry points."""
