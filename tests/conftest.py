"""Every test runs with array shapes and types checked, on one torch thread, and with the same examples each time."""

import sys
from types import FunctionType

from harness.annotations import install

SOLVER = "modeldiff_core.datamodels.design", "modeldiff_core.datamodels.solver"
"""Modules whose functions are called hundreds of thousands of times a study, most of whose time checks would take."""

if "modeldiff_core" in sys.modules:
    raise RuntimeError("modeldiff_core was imported before the hook that checks its annotations")
install("modeldiff_core", except_in=SOLVER)

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("modeldiff", deadline=None, derandomize=True, max_examples=25, print_blob=False)
settings.load_profile("modeldiff")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check the annotations of the lasso's inner loops where datamodels are tested, and nowhere else."""
    for name in SOLVER:
        if name in sys.modules:
            _check_annotations(vars(sys.modules[name]), name, "datamodels" in item.path.parts)


def _check_annotations(namespace: "dict[str, object]", module: str, wanted: bool) -> None:
    for value in namespace.values():
        if isinstance(value, FunctionType) and value.__module__ == module:
            value.__no_type_check__ = not wanted  # type: ignore[attr-defined]
        elif isinstance(value, type) and value.__module__ == module:
            _check_annotations(dict(vars(value)), module, wanted)
