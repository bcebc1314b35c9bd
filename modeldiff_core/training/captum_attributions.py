"""Attributions as the package captum computes them, under names that begin with ``captum_``.

They are of the logit of the predicted class, and their size is what ranks, as with the methods that ship. captum is an
optional package, which is imported when one of them is used. What a method draws follows from the seed of the batch.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.training.explained import PATH_STEPS, SMOOTH_DRAWS, SMOOTH_NOISE, Explained

Call = Callable[[Any, Explained, Tensor], Tensor]
"""Takes captum's module of methods, the examples and their classes."""
KEY = "attributions"


def check_installed(name: str) -> None:
    """Raise ConfigError for a method of captum where there is no captum; others pass."""
    if name in CALLS and find_spec("captum") is None:
        raise ConfigError(KEY, "a method whose package is installed", name, "pip install captum")


def _method(name: str, call: Call) -> Callable[[Explained], Tensor]:
    def scores(explained: Explained) -> Tensor:
        check_installed(name)
        package, classes = import_module("captum.attr"), explained.predicted()
        drawn = int(generator(name, *explained.seed).integers(2**31))
        # captum draws from torch's own generator, whose state is put back afterwards.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(drawn)
            found: Tensor = call(package, explained, classes)
        return found.detach().abs().to(explained.inputs.dtype)

    scores.__name__ = name
    scores.__doc__ = f"Return the size of captum's {name.removeprefix('captum_').replace('_', ' ')}."
    return scores


def _saliency(package: Any, explained: Explained, classes: Tensor) -> Any:
    return package.Saliency(explained.logits).attribute(explained.inputs.clone().requires_grad_(), target=classes)


def _input_x_gradient(package: Any, explained: Explained, classes: Tensor) -> Any:
    method = package.InputXGradient(explained.logits)
    return method.attribute(explained.inputs.clone().requires_grad_(), target=classes)


def _integrated(package: Any, explained: Explained, classes: Tensor) -> Any:
    """Integrate from zeros over as many midpoints as the method that ships."""
    method = package.IntegratedGradients(explained.logits)
    rule = {"n_steps": PATH_STEPS, "method": "riemann_middle"}
    return method.attribute(explained.inputs, target=classes, internal_batch_size=len(explained.inputs), **rule)


def _smooth(package: Any, explained: Explained, classes: Tensor) -> Any:
    """Average signed gradients over noisy copies; noise as in the method that ships."""
    noise = SMOOTH_NOISE * float(explained.inputs.max() - explained.inputs.min())
    method = package.NoiseTunnel(package.Saliency(explained.logits))
    draws = {"nt_type": "smoothgrad", "nt_samples": SMOOTH_DRAWS, "nt_samples_batch_size": 1, "stdevs": noise}
    return method.attribute(explained.inputs.clone().requires_grad_(), target=classes, abs=False, **draws)


def _ablation(package: Any, explained: Explained, classes: Tensor) -> Any:
    """Set one value after the other to zero: exact, and as many passes as there are values."""
    with torch.no_grad():
        return package.FeatureAblation(explained.logits).attribute(explained.inputs, target=classes)


CALLS: Mapping[str, Call] = {
    "captum_saliency": _saliency,
    "captum_input_x_gradient": _input_x_gradient,
    "captum_integrated_gradients": _integrated,
    "captum_smooth_gradient": _smooth,
    "captum_feature_ablation": _ablation,
}
CAPTUM: Mapping[str, Callable[[Explained], Tensor]] = {name: _method(name, call) for name, call in CALLS.items()}
