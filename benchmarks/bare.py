"""Import this first, and `modeldiff_core`'s trainers also run where there is no jaxtyping.

They need torch, numpy, scikit-learn, safetensors and fsspec; jaxtyping only names the shapes in annotations.
"""

import importlib.util
import sys
from types import ModuleType

NAMES = ("Bool", "Float", "Int", "Num", "Shaped", "UInt8")


class _Shape:
    """Float[Tensor, "..."] is then Tensor."""

    def __class_getitem__(cls, item: tuple[object, str]) -> object:
        return item[0]


if importlib.util.find_spec("jaxtyping") is None:
    stand_in = ModuleType("jaxtyping")
    for name in NAMES:
        setattr(stand_in, name, _Shape)
    sys.modules["jaxtyping"] = stand_in
