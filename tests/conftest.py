"""Every test runs with array shapes and types checked, on one torch thread, and with the same examples each time."""

import sys
from pathlib import Path

from jaxtyping import install_import_hook

if "modeldiff_core" in sys.modules:
    raise RuntimeError("modeldiff_core was imported before the hook that checks its annotations")
CORE = Path(__file__).parent.parent / "modeldiff_core"
# Digests call themselves thousands of times and take no arrays: checking each call would make them 25 times slower.
CHECKED = [f"modeldiff_core.{path.stem}" for path in CORE.iterdir() if path.stem not in ("identity", "__init__")]
install_import_hook(CHECKED, "beartype.beartype")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("modeldiff", deadline=None, derandomize=True, max_examples=25, print_blob=False)
settings.load_profile("modeldiff")
