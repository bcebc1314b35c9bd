"""A candidate tried on a few images before anything is trained, so that what it breaks or lacks is known by then."""

import numpy as np

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations.candidates import TransformationTest, build_on
from modeldiff_core.transformations.effects import EffectSettings, eligible_images

TRIED = 8
"""Images that a candidate is tried on."""


def try_on(test: TransformationTest, targets: Examples, effects: EffectSettings) -> bool:
    """Return whether the candidate changes any of a few of the images that its effect will be measured on.

    Raises ConfigError naming ``transformations.<name>`` where fewer than 2 images are left to measure on, and
    ``transformations.<name>.kind`` for one that cannot be applied or breaks its contract: images of the same shape and
    type, the images themselves at intensity 0, and those that it was given untouched.
    """
    key, noun = f"transformations.{test.name}", targets.kind.noun
    try:
        chosen = eligible_images(targets.labels, targets.metadata, test.target_class, effects.max_images, effects.seed)
    except ConfigError as error:
        raise ConfigError(key, error.expected, error.got, error.hint) from error
    few = targets.select(chosen[:TRIED])
    transformation = build_on(test, few)
    changed = False
    for intensity in (0.0, test.intensities[-1]):
        given = few.images.copy()
        try:
            after = transformation(given, intensity)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{key}.kind", f"a transformation that the {noun}s can be given to", said) from error
        shape = getattr(after, "shape", None)
        if shape != given.shape or after.dtype != given.dtype:
            found = type(after).__name__ if shape is None else f"{after.dtype} of shape {list(shape)}"
            raise ConfigError(f"{key}.kind", f"a transformation into {given.dtype} {noun}s {list(given.shape)}", found)
        if not np.array_equal(given, few.images):
            raise ConfigError(f"{key}.kind", f"a transformation that leaves the {noun}s it is given", test.kind)
        changed = not np.array_equal(after, few.images)
        if changed and intensity == 0:
            raise ConfigError(f"{key}.kind", "a transformation that changes nothing at intensity 0", test.kind)
    return changed
