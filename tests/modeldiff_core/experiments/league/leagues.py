"""A small league of four, in seconds."""

from itertools import combinations
from typing import Any

SGD = {"epochs": 10, "batch_size": 25, "network": {"kind": "mlp", "widths": [16]}}


def algorithm(name: str, seed: int = 1, **recipe: Any) -> dict[str, Any]:
    return {"name": name, "kind": "sgd", "seed": seed, "recipe": {**SGD, **recipe}}


SETTINGS: dict[str, Any] = {
    "dataset": {"kind": "digits", "n_train": 200, "n_test": 24, "seed": 0, "plant": None},
    "subsets": {"models": 240, "evaluation_models": 20, "shard_size": 120},
    "ensemble": {"models": 2, "shard_size": 2},
    "regression": {"estimator": "ridge", "block_size": 40},
    "comparison": {"method": "contrast", "components": 1, "draws": 29, "significance": 0.2, "top": 5},
    "search": {"directions": 0},
}
ALGORITHMS = {
    "short": algorithm("short"),
    "long": algorithm("long", epochs=20),
    "again": algorithm("short again", seed=2),
    "slow": algorithm("slow", learning_rate=0.02),
}
LEAGUE: dict[str, Any] = {"experiment": "league", "name": "tiny", "algorithms": ALGORITHMS, **SETTINGS}
PAIRS = list(combinations(sorted(ALGORITHMS), 2))
THREE = {name: ALGORITHMS[name] for name in ("again", "long", "short")}
SMALLER: dict[str, Any] = {**LEAGUE, "algorithms": THREE}
"""Three of the four algorithms, whose pairs are three of the six."""
SHARDS = 2 + 1
"""Of each algorithm: two of subset models and one of full-data models."""


def alone(a: str, b: str) -> dict[str, Any]:
    """The study of one pair, as a comparison of these two alone is asked for."""
    return {"name": f"tiny-{a}-{b}", "algorithm_a": ALGORITHMS[a], "algorithm_b": ALGORITHMS[b], **SETTINGS}
