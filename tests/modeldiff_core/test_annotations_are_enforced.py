"""The import hook is at work: without it a wrong shape would pass through many of the functions under test."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from modeldiff_core.data import Examples
from modeldiff_core.margins import correct_class_margin


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        correct_class_margin(torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.long))


def test_a_wrong_dtype_in_a_dataclass_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        Examples(np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64))
