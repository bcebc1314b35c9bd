"""Another background behind each object: the object stays, and an image's crop is its own."""

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import build_settings
from modeldiff_core.transformations.places import Place

pytest.importorskip("skimage")


def examples(channels: int) -> Examples:
    rng = np.random.default_rng(0)
    mask = np.zeros((5, 28, 28), bool)
    mask[:, 8:20, 8:20] = True
    return Examples(rng.integers(256, size=(5, 28, 28, channels), dtype=np.uint8), np.arange(5) % 2, {"mask": mask})


@pytest.mark.parametrize("channels", [1, 3])
def test_only_what_is_behind_changes(channels: int) -> None:
    known = examples(channels)
    place = Place("textures").on(known)
    after, mask = place(known.images, 1.0), known.metadata["mask"]
    np.testing.assert_array_equal(after[mask], known.images[mask])
    assert (after[~mask] != known.images[~mask]).mean() > 0.9
    np.testing.assert_array_equal(place(known.images, 0.0), known.images)
    half = place(known.images, 0.5).astype(float)
    assert np.abs(half - (known.images.astype(float) + after) / 2).max() <= 1
    assert len({image.tobytes() for image in np.where(mask[..., None], 0, after)}) == len(known)


def test_an_images_crop_does_not_depend_on_others() -> None:
    known = examples(3)
    few = known.select(np.array([3, 1]))
    np.testing.assert_array_equal(
        Place("photographs").on(few)(few.images, 1.0), Place("photographs").on(known)(known.images, 1.0)[[3, 1]]
    )


def test_textures_are_gray_and_photographs_are_not() -> None:
    known = examples(3)
    mask = known.metadata["mask"]
    gray, colored = (Place(kind).on(known)(known.images, 1.0)[~mask] for kind in ("textures", "photographs"))
    assert np.ptp(gray.astype(int), axis=1).max() == 0
    assert np.ptp(colored.astype(int), axis=1).mean() > 5


def test_what_it_cannot_do_is_named() -> None:
    known = examples(3)
    with pytest.raises(ConfigError, match="behind"):
        build_settings(Place, {"behind": "forests"}, "parameters")
    with pytest.raises(ConfigError, match="velvet"):
        Place(names=("velvet",))
    with pytest.raises(ConfigError, match="mask"):
        Place().on(Examples(known.images, known.labels))
    with pytest.raises(ConfigError, match="metadata"):
        Place()(known.images, 1.0)
    with pytest.raises(ConfigError, match="square"):
        Place().check((28, 20, 3))
