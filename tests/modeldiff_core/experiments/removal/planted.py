"""A small study with a planted block, whose one difference is found and confirmed in a few seconds."""

from typing import Any

from modeldiff_core.experiments.removal.experiment import Removal, RemovalStudy

WATERMARK = {"top": 0, "left": 0, "height": 3, "width": 2}
SGD: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 25,
    "learning_rate": 0.1,
    "network": {"kind": "mlp", "widths": [16]},
}
PLANTED: dict[str, Any] = {
    "name": "planted",
    "dataset": {
        "kind": "digits",
        "n_train": 300,
        "n_test": 300,
        "seed": 0,
        "plant": {"label": 8, "fraction": 0.6, "seed": 0, "watermark": WATERMARK},
    },
    "algorithm_a": {"name": "as is", "kind": "sgd", "seed": 1, "recipe": SGD},
    "algorithm_b": {
        "name": "erased",
        "kind": "sgd",
        "seed": 1,
        "recipe": {**SGD, "augmentations": [{"kind": "erase", **WATERMARK}]},
    },
    "subsets": {"models": 1000, "evaluation_models": 20, "shard_size": 500},
    "ensemble": {"models": 10, "shard_size": 10},
    "regression": {"estimator": "ridge", "block_size": 300},
    "comparison": {"method": "contrast", "components": 2, "draws": 19, "top": 5},
    "search": {"directions": 1, "candidates": 6, "confirmed": 2},
    "removal": {"models": 5, "random": 2, "parts": [0.5]},
}
"""A relies on the block that B never sees."""


def removal(**changes: Any) -> Removal:
    """Return the experiment with some settings changed."""
    return Removal(RemovalStudy.parse({**PLANTED, **changes}))
