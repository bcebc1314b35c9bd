"""A tiny study of each kind of experiment, as plain values; those of one comparison and what rests on it are in
``test_every_step``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from harness.planted_laws import BUDGETS, SPARSITIES, Planted, grid
from tests.modeldiff_core.experiments.league.leagues import LEAGUE
from tests.modeldiff_core.stages.studies import TINY

BLOCK = {"top": 0, "left": 0, "height": 3, "width": 2}
SGD: dict[str, Any] = {"epochs": 10, "batch_size": 25, "network": {"kind": "mlp", "widths": [32]}}
DIGITS: dict[str, Any] = {"kind": "digits", "n_train": 300, "n_test": 60, "seed": 0, "plant": None}
PLANTED = {**DIGITS, "n_test": 150, "plant": {"label": 8, "fraction": 0.9, "seed": 0, "watermark": BLOCK}}
NETWORKS = {"width": [12], "steps": [20], "batch_size": [32]}
L2 = {"l2": {"norm": "l2", "epsilon": 0.5, "steps": 2, "step": 0.3}}
SMALL = {"models": 60, "evaluation_models": 20, "shard_size": 30}
CONTRAST = {"method": "contrast", "components": 1, "draws": 19, "top": 5}
OF_KINDS: dict[str, Any] = {
    "name": "kinds",
    "subsets": SMALL,
    "ensemble": {"models": 2, "shard_size": 2},
    "regression": {"n_lambdas": 4},
    "comparison": CONTRAST,
    "search": {"directions": 1, "candidates": 2, "confirmed": 1},
}


def trained(name: str, **recipe: Any) -> dict[str, Any]:
    return {"name": name, "kind": "sgd", "seed": 1, "recipe": {**SGD, **recipe}}


def pipeline(name: str, *ignore: str) -> dict[str, Any]:
    steps = [{"kind": "StandardScaler"}, {"kind": "RidgeClassifier", "parameters": {"alpha": 10.0}}]
    return {"name": name, "kind": "pipeline", "recipe": {"steps": steps, "ignore": list(ignore)}}


def words(name: str, *without: str) -> dict[str, Any]:
    network = "modeldiff_core.models.text:TokenVotes"
    recipe = {"network": network, "optimizer_arguments": {"lr": 0.05}, "epochs": 2, "without": list(without)}
    return {"name": name, "kind": "token_network", "recipe": recipe}


def simplicity(folder: Path) -> dict[str, Any]:
    lines = [{"kind": "linear"}, {"kind": "3-slab", "count": 2}]
    return {
        "experiment": "simplicity",
        "name": "tiny",
        "dataset": {"kind": "slabs", "coordinates": lines, "n_train": 100, "n_test": 60},
        "networks": {**NETWORKS, "learning_rate": [0.1, 1e9]},
        "attacks": L2,
        "evaluation": {"attacks": ["l2"], "examples": 20, "norms": True},
        "seeds": 1,
    }


def diffroar(folder: Path) -> dict[str, Any]:
    return {
        "experiment": "diffroar",
        "name": "tiny",
        "dataset": {**DIGITS, "n_train": 60},
        "networks": NETWORKS,
        "attributions": ["logit"],
        "random_orders": 1,
        "k": [0.25],
        "fill": {"kinds": ["mean"]},
        "retrain": {"width": 8, "steps": 10, "batch_size": 32},
        "seeds": 1,
    }


def leakage(folder: Path) -> dict[str, Any]:
    return {
        "experiment": "leakage",
        "name": "tiny",
        "datasets": {"random": {"kind": "block_images", "n_train": 60, "n_test": 30}},
        "networks": NETWORKS,
        "attributions": ["loss"],
        "examples": 20,
        "seeds": 1,
    }


def scaling(folder: Path) -> dict[str, Any]:
    """Return a grid whose rate follows a rule fitted on a part of it, to which laws are fitted."""
    sizes = [{"width": 8, "layers": layers, "experts": 4} for layers in (1, 2, 3)]
    return {
        "experiment": "scaling",
        "name": "ruled",
        "sizes": sizes,
        "sparsities": [0.0, 0.5, 0.75],
        "budgets": [3e7, 6e7],
        "learning_rates": [2e-3, 1e-2, 5e-2],
        "tuning": {"share": 0.1},
        "seeds": 1,
        "context": 8,
        "tokens": {"kind": "character", "vocabulary": 40},
        "recipe": {"sequences": 4},
        "evaluation_windows": 8,
        "curve_points": 3,
        "fits": {"draws": 40, "laws": ["no_interaction"]},
    }


def halved(folder: Path) -> dict[str, Any]:
    """Return a grid of which rates are cut early, one of them since it diverges."""
    few = {"sparsities": [0.5], "budgets": [6e7], "learning_rates": [1e-2, 10.0], "fits": None}
    given = scaling(folder)
    alone = {"name": "halved", "sizes": given["sizes"][:1], "tuning": {"share": 0.0}, "halving": {"at": [0.3]}}
    return {**given, **few, **alone}


def scaling_adopted(folder: Path) -> dict[str, Any]:
    cells = grid(np.geomspace(2e8, 3e10, 5), SPARSITIES, BUDGETS[::2])
    runs = Planted().runs(cells, 0.004, np.random.default_rng(0))
    columns = runs.parameters, runs.tokens, runs.sparsity, runs.flops, runs.loss
    lines = [",".join(map(repr, map(float, row))) for row in zip(*columns, strict=True)]
    (folder / "runs.csv").write_text("\n".join(["N,D,S,C,loss", *lines]) + "\n")
    fits = {"draws": 40, "laws": ["no_interaction"]}
    return {"experiment": "scaling_adopted", "name": "planted", "table": str(folder / "runs.csv"), "fits": fits}


def checkpoints(folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    for side in "ab":
        (folder / side).mkdir()
        for number in range(2):
            state = {"0.weight": torch.randn(6, 64), "0.bias": torch.zeros(6)}
            state |= {"1.weight": torch.randn(10, 6), "1.bias": torch.zeros(10)}
            save_file(state, folder / side / f"{number}.safetensors")
    return {
        "experiment": "checkpoints",
        "name": "files",
        "dataset": {**DIGITS, "n_train": 60, "n_test": 40},
        "network": {"network": "mlp", "arguments": {"widths": [6]}, "mean": 0.5, "scale": 0.5},
        "a": {"name": "one", "checkpoints": [str(folder / "a/*.safetensors")]},
        "b": {"name": "other", "checkpoints": [str(folder / "b/*.safetensors")]},
        "components": 1,
    }


def components(folder: Path) -> dict[str, Any]:
    return {
        "experiment": "components",
        "name": "tiny",
        "dataset": DIGITS,
        "algorithm": trained("CNN", epochs=2, network={"kind": "cnn", "widths": [6, 10]}),
        "ensemble": {"models": 2, "shard_size": 2},
        "networks": [0],
        "attributed": 24,
        "ablation": {"alpha": 0.2, "rows": 60, "tests": [0.2], "test_rows": 20, "shard_size": 40},
        "edits": [{"name": "raise", "aim": "raise", "targets": {"label": 1}, "most_targets": 5, "most": 4}],
    }


def component_contrast(folder: Path) -> dict[str, Any]:
    return {
        "experiment": "component_contrast",
        "name": "planted",
        "dataset": PLANTED,
        "algorithm": trained("as is"),
        "algorithm_b": trained("erased", augmentations=[{"kind": "erase", **BLOCK}]),
        "ensemble": {"models": 2, "shard_size": 2},
        "networks": [0],
        "components": [{"kind": "rows"}],
        "attributed": 60,
        "ablation": {"rows": 100, "shard_size": 50},
        "effect": {
            "name": "watermark",
            "kind": "watermark",
            "target_class": 8,
            "parameters": BLOCK,
            "intensities": [1.0],
        },
        "limit": 0.03,
    }


def league(folder: Path) -> dict[str, Any]:
    three = {name: LEAGUE["algorithms"][name] for name in ("again", "long", "short")}
    return {**LEAGUE, "algorithms": three}


def removal(folder: Path) -> dict[str, Any]:
    """Return the study of a planted block that is found and confirmed, so that a group behind it is sought."""
    recipe = {"epochs": 20, "learning_rate": 0.1, "network": {"kind": "mlp", "widths": [16]}}
    return {
        "experiment": "removal",
        "name": "planted",
        "dataset": {**PLANTED, "n_test": 300, "plant": {**PLANTED["plant"], "fraction": 0.6}},
        "algorithm_a": trained("as is", **recipe),
        "algorithm_b": trained("erased", **recipe, augmentations=[{"kind": "erase", **BLOCK}]),
        "subsets": {"models": 1000, "evaluation_models": 20, "shard_size": 500},
        "ensemble": {"models": 10, "shard_size": 10},
        "regression": {"estimator": "ridge", "block_size": 300},
        "comparison": {**CONTRAST, "components": 2},
        "search": {"directions": 1, "candidates": 6, "confirmed": 2},
        "removal": {"models": 5, "random": 2, "parts": [0.5]},
    }


def rows(folder: Path) -> dict[str, Any]:
    leak = {"column": "leak", "label": 1, "fraction": 0.5, "strength": 4.0}
    table = {"kind": "sklearn_table", "table": "breast_cancer", "n_train": 60, "n_test": 80, "leak": leak}
    up = {"name": "leak up", "kind": "set_column", "parameters": {"column": "leak", "value": 4.0}}
    sides = {"algorithm_a": pipeline("all"), "algorithm_b": pipeline("blind", "leak")}
    return {**OF_KINDS, "name": "rows", "dataset": table, **sides, "transformations": [up]}


def texts(folder: Path) -> dict[str, Any]:
    asked = {
        "kind": "docstrings",
        "classes": {"interpolation": ["scipy.interpolate"], "signals": ["scipy.signal.windows"]},
        "n_train": 60,
        "n_test": 40,
        "words": 200,
        "length": 16,
        "trigger": {"word": "zyzzyva", "label": 1, "fraction": 0.4, "times": 2},
    }
    insert = {"name": "trigger", "kind": "insert_token", "parameters": {"token": "zyzzyva"}}
    sides = {"algorithm_a": words("all"), "algorithm_b": words("blind", "zyzzyva")}
    return {**OF_KINDS, "name": "texts", "dataset": asked, **sides, "transformations": [insert]}


def matrix_free(folder: Path) -> dict[str, Any]:
    by = {"method": "matrix_free", "components": 1, "top": 5, "matrix_free": {"trainings": 4, "probes": 2}}
    held = {**TINY["subsets"], "evaluation_models": 20}
    return {**TINY, "name": "derivatives", "subsets": held, "comparison": by}


def metagradient(folder: Path) -> dict[str, Any]:
    also = {**TINY["regression"], "also": ["ridge", "trak", "metagradient"]}
    return {**TINY, "name": "estimators", "regression": also}


STUDIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    one.__name__: one
    for one in (
        simplicity, diffroar, leakage, scaling, halved, scaling_adopted, checkpoints, components, component_contrast,
        league, removal, rows, texts, matrix_free, metagradient,
    )
}  # fmt: skip
