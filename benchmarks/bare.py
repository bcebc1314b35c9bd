"""Import this first, and `modeldiff_core`'s trainers also run where there is no jaxtyping.

They need torch, numpy, scikit-learn, safetensors and fsspec; jaxtyping only names the shapes in annotations.
"""

import importlib.util
import sys
from types import ModuleType


class _Shape:
    """Float[Tensor, "..."] is then Tensor."""

    def __class_getitem__(cls, item: tuple[object, str]) -> object:
        return item[0]


class _StandIn(ModuleType):
    """Every name that it is asked for is a shape."""

    def __getattr__(self, name: str) -> type[_Shape]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Shape


if importlib.util.find_spec("jaxtyping") is None:
    sys.modules["jaxtyping"] = _StandIn("jaxtyping")
