"""Every test runs with array shapes and types checked, on one torch thread, and with the same examples each time."""

import sys

from jaxtyping import install_import_hook

if "modeldiff_core" in sys.modules:
    raise RuntimeError("modeldiff_core was imported before the hook that checks its annotations")
install_import_hook("modeldiff_core", "beartype.beartype")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("modeldiff", deadline=None, derandomize=True, max_examples=25, print_blob=False)
settings.load_profile("modeldiff")
