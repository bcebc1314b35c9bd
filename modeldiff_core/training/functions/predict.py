"""Logits of whatever a training function returned: a torch module, an estimator of scikit-learn, or a callable."""

import sys
from typing import Any

import numpy as np
from jaxtyping import Float

from modeldiff_core.data.kinds import Inputs
from modeldiff_core.training.functions.form import Form
from modeldiff_core.training.functions.guard import FunctionFailed
from modeldiff_core.training.sklearn_logits import LOWEST_PROBABILITY, logits_of

BATCH = 500
"""Images that a module or a callable is asked about at once; part of the bits of its logits."""
KINDS = "a torch.nn.Module, a scikit-learn classifier, or a callable that gives logits"

Logits = Float[np.ndarray, "images classes"]


def is_module(model: Any) -> bool:
    """Return whether it is a torch module."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def is_estimator(model: Any) -> bool:
    """Return whether it is a classifier in the manner of scikit-learn."""
    return hasattr(model, "predict") and (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))


def kind_of(model: Any, *, number: bool = False) -> str:
    """Return which of the three a model is; raises FunctionFailed for none of them. number: it predicts one."""
    if is_module(model):
        return "module"
    if is_estimator(model) or (number and hasattr(model, "predict")):
        return "estimator"
    if callable(model) and not isinstance(model, type):
        return "callable"
    got = "None: is a `return` missing?" if model is None else f"a {type(model).__name__}"
    raise FunctionFailed(f"returned {got}; expected {KINDS}")


def raw_logits(model: Any, form: Form, images: Inputs, n_classes: int) -> np.ndarray:
    """Return what a model says of images that it is given in its form, unchecked, in batches.

    A module is put into evaluation mode; gradients are not followed.
    """
    if is_estimator(model) and not is_module(model):
        return estimator_logits(model, form.values(images), n_classes)
    if is_module(model):
        model.eval()
    out = [_one_batch(model, form, images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
    return np.concatenate(out) if out[0].ndim else np.stack(out)


def raw_numbers(model: Any, form: Form, images: Inputs) -> np.ndarray:
    """Return the numbers that a model predicts as [images, 1], unchecked; see ``raw_logits``."""
    if kind_of(model, number=True) == "estimator":
        found = np.asarray(model.predict(_rows(form.values(images))), np.float64)
    else:
        found = raw_logits(model, form, images, 1)
    return found[:, None] if found.ndim == 1 else found


def _rows(inputs: Any) -> Any:
    """Return what an estimator takes: a data frame as it is, arrays as rows of floats."""
    if not isinstance(inputs, np.ndarray):
        return inputs
    rows = inputs.reshape(len(inputs), -1)
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


def checked_logits(found: np.ndarray, images: int, n_classes: int) -> Logits:
    """Return logits as float32; raises FunctionFailed for another shape or type, with what was expected."""
    expected = f"logits [{images} images, {n_classes} classes]"
    if found.shape != (images, n_classes):
        hint = ""
        if found.shape == (images,):
            hint = ": are these predicted classes instead of logits?" if found.dtype.kind in "iu" else ""
        elif found.ndim == 2 and found.shape[0] == images:
            hint = f": {found.shape[1]} logits for {n_classes} classes"
        elif found.shape == (n_classes, images):
            hint = ": the axes are turned, .T"
        raise FunctionFailed(f"gives an array of shape {list(found.shape)}, expected {expected}{hint}")
    if found.dtype.kind != "f":
        raise FunctionFailed(f"gives {found.dtype}, expected floats: {expected}")
    return found.astype(np.float32)


def estimator_logits(estimator: Any, inputs: Any, n_classes: int) -> np.ndarray:
    """Return logits of a classifier; classes that it was not fitted on are at the lowest probability.

    Inputs of more than two axes are given to it as rows. Raises FunctionFailed for classes that are no labels.
    """
    scores = logits_of(estimator, _rows(inputs))
    classes = np.asarray(getattr(estimator, "classes_", np.arange(scores.shape[1])))
    if classes.dtype.kind not in "iu" or scores.shape[1] != len(classes) or classes.max() >= n_classes:
        named = ", ".join(map(str, classes[:8].tolist()))
        raise FunctionFailed(
            f"has {scores.shape[1]} scores for the classes {named}; expected labels 0 to {n_classes - 1}"
        )
    lowest = min(float(np.log(LOWEST_PROBABILITY)), float(scores.min()))
    out = np.full((len(scores), n_classes), lowest, np.float32)
    out[:, classes] = scores
    return out


def _one_batch(model: Any, form: Form, images: np.ndarray) -> np.ndarray:
    given = form.give(images)
    torch = sys.modules.get("torch")
    if torch is None:
        return np.asarray(model(given))
    if is_module(model) and form.library == "numpy":
        given = torch.from_numpy(given)
    with torch.no_grad():
        found = model(given)
    if isinstance(found, torch.Tensor):
        found = found.detach().cpu()
        found = (found.float() if found.dtype in (torch.bfloat16, torch.float16) else found).numpy()
    return np.asarray(found)
