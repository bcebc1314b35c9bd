"""Pure functions of pixels, under augmentations, planted features and transformations alike.

Images are bytes 0..255 [images, height, width, channels] in numpy, or pixels 0..1 in torch where training changes them.
"""

from modeldiff_core.images.blocks import Block, fill_block
from modeldiff_core.images.color import LUMINANCE, color_luminance, luminance
from modeldiff_core.images.crops import RECTANGLE_DRAWS, Rectangles, center_crop, random_rectangles, resize, window
from modeldiff_core.images.drawings import checkerboard, diagonal_stripes, polka_dots, stripes, texture, wave, web
from modeldiff_core.images.frequencies import in_band, spatial_frequencies
from modeldiff_core.images.pixels import Images, add, blend, byte_level, generator_of, to_pixels, unit
from modeldiff_core.images.shifts import shift_all, shift_each

__all__ = [
    "LUMINANCE",
    "RECTANGLE_DRAWS",
    "Block",
    "Images",
    "Rectangles",
    "add",
    "blend",
    "byte_level",
    "center_crop",
    "checkerboard",
    "color_luminance",
    "diagonal_stripes",
    "fill_block",
    "generator_of",
    "in_band",
    "luminance",
    "polka_dots",
    "random_rectangles",
    "resize",
    "shift_all",
    "shift_each",
    "spatial_frequencies",
    "stripes",
    "texture",
    "to_pixels",
    "unit",
    "wave",
    "web",
    "window",
]
