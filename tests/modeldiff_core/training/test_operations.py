"""Several augmentations in a row: sizes and draws."""

import pytest
import torch
from pydantic import TypeAdapter

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.augmentations import (
    Augmentation,
    Cutout,
    Erase,
    Flip,
    Noise,
    Translate,
)
from modeldiff_core.training.crops import CentreCrop, RandomResizedCrop, Resize
from modeldiff_core.training.operations import augmented, draws_per_image, evaluated, shape_after

SOME = (Resize(height=9, width=8), Flip(), CentreCrop(height=7, width=6), Noise(deviation=0.1), Cutout(size=2))
SHAPE = (12, 10, 3)


def test_operations_follow_each_other_with_their_own_draws_and_sizes() -> None:
    images = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert draws_per_image(SOME, SHAPE) == 0 + 1 + 0 + 7 * 6 * 3 + 2
    assert shape_after(SOME, SHAPE) == (7, 6, 3)
    draws = torch.rand(4, draws_per_image(SOME, SHAPE), generator=torch.Generator().manual_seed(1))
    out = augmented(SOME, images, draws)
    expected = SOME[0](images, draws[:, :0])
    expected = SOME[1](expected, draws[:, :1])
    expected = SOME[2](expected, draws[:, :0])
    expected = SOME[3](expected, draws[:, 1:127])
    expected = SOME[4](expected, draws[:, 127:])
    assert out.shape == (4, 7, 6, 3)
    assert torch.equal(out, expected)
    assert not torch.equal(out, evaluated(SOME, images))


def test_evaluation_knows_sizes_and_no_chance() -> None:
    images = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    expected = SOME[2].at_evaluation(SOME[0].at_evaluation(images))
    assert torch.equal(evaluated(SOME, images), expected)
    by_chance = (Flip(probability=1.0), Translate(pixels=2), Erase(), Cutout(), Noise())
    assert torch.equal(evaluated(by_chance, images), images)
    assert shape_after(by_chance, SHAPE) == SHAPE
    cropped = (RandomResizedCrop(height=8, width=8), Flip())
    assert evaluated(cropped, images).shape[1:] == shape_after(cropped, SHAPE) == (8, 8, 3)


EVERY = (
    Flip(),
    Translate(pixels=3),
    Translate(pixels=3, mode="reflect"),
    Translate(fill=0.2),
    Translate(fill=0.3),
    Cutout(size=4),
    Cutout(fill=0.5),
    Erase(top=2, height=3, fill=1.0),
    Erase(fill=0.6),
    Noise(),
    RandomResizedCrop(height=6, width=5),
    CentreCrop(height=5, width=7),
    Resize(height=13, width=4),
)
ON_BYTES = [True, True, True, True, False, True, False, True, True, False, False, True, False]


def test_bytes_give_what_pixels_give_bit_for_bit() -> None:
    images = torch.randint(0, 256, (40, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert [operation.exact_on_bytes for operation in EVERY] == ON_BYTES
    for operations in (*((operation,) for operation in EVERY), SOME, ()):
        width = draws_per_image(operations, SHAPE)
        draws = torch.rand(40, width, generator=torch.Generator().manual_seed(1))
        assert torch.equal(augmented(operations, images, draws), augmented(operations, images.float() / 255, draws))
        assert torch.equal(evaluated(operations, images), evaluated(operations, images.float() / 255))


def test_a_whole_gray_level_is_the_same_byte_and_pixel() -> None:
    fills = [level / 255 for level in range(256)]
    whole = [fill for fill in fills if Erase(fill=fill).exact_on_bytes]
    assert len(whole) > 200
    for fill in whole:
        images, draws = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, 1)
        assert augmented((Erase(fill=fill),), images, draws) == augmented((Erase(fill=fill),), images / 255, draws)


def test_an_operation_is_asked_about_the_size_that_it_gets() -> None:
    assert draws_per_image((Cutout(size=9),), SHAPE) == 2
    with pytest.raises(ConfigError) as caught:
        draws_per_image((Resize(height=8, width=8), Cutout(size=9)), SHAPE)
    assert caught.value.key == "recipe.augmentations.size"


def test_a_configuration_names_each_by_its_kind() -> None:
    adapter = TypeAdapter(tuple[Augmentation, ...])
    every = (*SOME, Translate(mode="reflect"), Erase(), RandomResizedCrop(scale=(0.3, 1.0)))
    assert adapter.validate_python([{"kind": one.kind} for one in every]) == tuple(type(one)() for one in every)
    assert adapter.validate_json(adapter.dump_json(every)) == every
