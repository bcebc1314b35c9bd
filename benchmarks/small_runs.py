"""Small runs that together use every stage: a study, a counterfactual check, a sweep, rounds, and adopted results.

All use two hundred digits, so each takes seconds. With so little data few directions are significant, so the
significance is 0.5: descriptions and searches run for significant directions only.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.checkout import Checkout

SMALL = (
    "study=digits_watermark",
    "comparison=residual",
    "dataset.n_train=200",
    "targets=30",
    "algorithm_a.recipe.epochs=4",
    "algorithm_b.recipe.epochs=4",
    "subsets.models=400",
    "subsets.evaluation_models=40",
    "subsets.shard_size=100",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=6",
    "regression.gap_tolerance=1e-9",
    "regression.precise=true",
    "regression.block_size=20",
    "comparison.components=2",
    "comparison.permutations=4",
    "comparison.significance=0.5",
    "search.directions=1",
)
"""Few epochs and an exact lasso, so that another processor's rounding moves no stored number by much."""
CHECK = ("counterfactual.targets=3", "counterfactual.top_k=10", "counterfactual.models=6")
SWEPT = ("regression.also=[ridge]", "+sweep.comparison.null_from=[exchange,parts]")
ADAPTIVE = (
    "subsets.shard_size=20",
    "subsets.adaptive=true",
    "subsets.rounds.least_gain=0.5",
    "comparison.significance=0.99",
)
"""Rounds that end as soon as the law of the learning curve can be fitted."""
COMPARED = (
    "dataset=digits_watermark",
    "dataset.n_train=200",
    "evaluation_models=40",
    "regression.n_lambdas=6",
    "regression.gap_tolerance=1e-9",
    "regression.precise=true",
    "regression.block_size=20",
    "comparison.components=2",
    "comparison.permutations=4",
    "comparison.significance=0.5",
)
LOCAL = ("runner.workers=1",)


def counterfactual(checkout: Checkout, folder: Path) -> None:
    """Run a study, and a check of its datamodels by removal, into ``counterfactual/``."""
    place = ("name=small", f"store.root={folder / 'counterfactual'}", *LOCAL)
    checkout.modeldiff("compare", *SMALL, *place)
    checkout.modeldiff("counterfactual", *SMALL, *CHECK, *place)


def sweep(checkout: Checkout, folder: Path) -> None:
    """Run a sweep of two points of one study, which share its trainings, into ``sweep/``."""
    checkout.modeldiff("sweep", *SMALL, *SWEPT, "name=swept", f"store.root={folder / 'sweep'}", *LOCAL)


def rounds(checkout: Checkout, folder: Path) -> None:
    """Run an adaptive study into ``rounds/``."""
    checkout.modeldiff("compare", *SMALL, *ADAPTIVE, "name=rounds", f"store.root={folder / 'rounds'}", *LOCAL)


def adopted_margins(checkout: Checkout, folder: Path) -> None:
    """Export the margins of ``counterfactual/``, then adopt and compare them in ``adopted_margins/``."""
    _adopted(checkout, folder, "margins", "margins-*.json", "")


def adopted_scores(checkout: Checkout, folder: Path) -> None:
    """Export the attributions of ``counterfactual/``, then adopt and compare them in ``adopted_scores/``."""
    _adopted(checkout, folder, "scores", "datamodels-*/record.json", ".safetensors")


RUNS: dict[str, Callable[[Checkout, Path], None]] = {
    "counterfactual": counterfactual,
    "sweep": sweep,
    "rounds": rounds,
    "adopted_margins": adopted_margins,
    "adopted_scores": adopted_scores,
}
"""Runs by the name of their store below a folder; those of adopted results need ``counterfactual`` first."""


def _adopted(checkout: Checkout, folder: Path, kind: str, pattern: str, ending: str) -> None:
    source, root = folder / "counterfactual", folder / f"adopted_{kind}"
    exported = folder / "exported" / f"adopted_{kind}"
    exported.mkdir(parents=True)
    keys = []
    # Of several sets of datamodels any will do, as long as it is the same one each time.
    trainings = sorted(path.parent for path in source.glob("trainings/*/training.json"))
    for side, training in zip(("first", "second"), trainings, strict=True):
        record = min(training.glob(pattern)).relative_to(source)
        key = record.parent if record.name == "record.json" else record.with_suffix("")
        to = exported / f"{side}{ending}"
        checkout.modeldiff("export", f"key={key}", f"to={to}", f"store.root={source}")
        given = f"scores={to}" if kind == "scores" else f"folder={to}"
        of = ("dataset=digits_watermark", "dataset.n_train=200", f"store.root={root}")
        keys.append(checkout.modeldiff("adopt", f"name={side}", given, *of).split()[-1])
    name = f"name=adopted_{kind}"
    checkout.modeldiff("compare-adopted", *COMPARED, name, f"a={keys[0]}", f"b={keys[1]}", f"store.root={root}")
