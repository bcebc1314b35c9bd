"""The import hook is at work: without it a wrong shape would pass through many of the functions under test."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from modeldiff_core.data.kinds import PICTURES
from modeldiff_core.errors import DataError
from modeldiff_core.margins import correct_class_margin
from modeldiff_core.statistics.replicates import Replicates


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        correct_class_margin(torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.long))


def test_a_wrong_dtype_in_a_dataclass_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        Replicates(np.zeros(3, np.float32))


def test_images_that_are_not_bytes_are_refused() -> None:
    """Images share a field with rows of numbers and ids, so that their type is checked with the kind."""
    with pytest.raises(DataError, match="uint8 in 0..255, got float32"):
        PICTURES.check(np.zeros((2, 4, 4, 1), np.float32))
