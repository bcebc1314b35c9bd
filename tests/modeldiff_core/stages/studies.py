"""A whole study in a second or two, run stage by stage without any flow."""

from typing import Any

from modeldiff_core import plan
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.study import parse_study
from modeldiff_core.training import Execution

EXECUTION = Execution(device="cpu", stack=20)
SGD = {"epochs": 4, "batch_size": 50, "network": {"kind": "mlp", "widths": [8]}}
TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"kind": "digits", "n_train": 60, "n_test": 40, "seed": 0, "plant": None},
    "algorithm_a": {"name": "short", "kind": "sgd", "seed": 1, "recipe": SGD},
    "algorithm_b": {"name": "long", "kind": "sgd", "seed": 1, "recipe": {**SGD, "epochs": 8}},
    "subsets": {"models": 50, "evaluation_models": 10, "shard_size": 20},
    "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"n_lambdas": 4, "block_size": 25},
    "comparison": {"components": 3, "permutations": 3, "top": 5},
    "transformations": [
        {"name": "noise", "kind": "noise", "parameters": {"deviation": 0.3}, "intensities": [0.5, 1.0]}
    ],
}
"""The first subset shard of three is 0, the last holds models beyond the 50."""


def tiny(**changes: Any) -> Comparison:
    """The study with some of its settings changed."""
    return Comparison.of(parse_study({**TINY, **changes}))


def run(store: ObjectStore, comparison: Comparison) -> None:
    """What a comparison computes, for what the store lacks."""
    plan.run(Compare(comparison), store, plan.InProcess(store, EXECUTION))


def local(root: object) -> ObjectStore:
    """A store in a folder."""
    return ObjectStore(StoreSettings(str(root)))
