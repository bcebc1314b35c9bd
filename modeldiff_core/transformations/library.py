"""The contract of a transformation, and the kinds that can be named.

A transformation is a frozen dataclass whose fields are its settings. Register a class under the entry-point group
``modeldiff.transformations`` and configurations can name it as ``kind``.
"""

from typing import Protocol, runtime_checkable

from modeldiff_core.registry import Registry
from modeldiff_core.transformations.filters import Blur, Contrast, HighPass, LowPass, Noise
from modeldiff_core.transformations.geometry import Rotate, Translate
from modeldiff_core.transformations.patches import Occlusion, Patch, Tint, WatermarkPatch
from modeldiff_core.transformations.pixels import Images


@runtime_checkable
class Transformation(Protocol):
    """A change F of images that may matter to one algorithm and not to the other (arXiv 2211.12491)."""

    def __call__(self, images: Images, intensity: float) -> Images:
        """F at an intensity in 0..1; the images themselves at 0.

        Each result must be a pure function of the settings, its own image and the intensity.
        """
        ...

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise ConfigError if images of this height, width and number of channels do not suit the settings."""
        ...


TRANSFORMATIONS: Registry[type[Transformation]] = Registry(
    "modeldiff.transformations",
    "transformations.kind",
    {
        "blur": Blur,
        "contrast": Contrast,
        "high_pass": HighPass,
        "low_pass": LowPass,
        "noise": Noise,
        "occlude": Occlusion,
        "patch": Patch,
        "rotate": Rotate,
        "tint": Tint,
        "translate": Translate,
        "watermark": WatermarkPatch,
    },
)
