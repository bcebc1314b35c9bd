"""A stand-in for jaxtyping on machines that lack it, so that annotations of shapes cost no dependency.

Subset training, datamodels and comparisons run on a GPU machine that has torch, numpy, scikit-learn, safetensors and
fsspec and nothing else. jaxtyping only names the shapes in their annotations and does no work there.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Shape:
    """An annotation that is the array type alone: ``Float[Tensor, "models train"]`` is ``Tensor``."""

    def __class_getitem__(cls, item: tuple[object, str]) -> object:
        return item[0]


class _StandIn(ModuleType):
    """A module in which every public name is a shape."""

    def __getattr__(self, name: str) -> type[_Shape]:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Shape


def provide_shapes() -> None:
    """Make ``from jaxtyping import ...`` work in this process where jaxtyping is not installed; else change nothing."""
    if "jaxtyping" in sys.modules or importlib.util.find_spec("jaxtyping") is not None:
        return
    module = _StandIn("jaxtyping")
    module.__spec__ = ModuleSpec("jaxtyping", loader=None)
    sys.modules["jaxtyping"] = module
