"""What is found over all networks of a study, as plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from modeldiff_core.ablation import Components
from modeldiff_core.experiments.components.scores import FITTED, METHODS

TOP = 10
"""Components that a table names."""


def over_networks(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over networks with a 95 % interval.

    Student's t over networks where there are several; of one network the interval over ablations and targets.
    """
    means = np.array([score["mean"] for score in scores])
    if len(means) == 1:
        return {"mean": float(means[0]), "low": scores[0]["ci_low"], "high": scores[0]["ci_high"]}
    half = float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5)
    return {"mean": float(means.mean()), "low": float(means.mean() - half), "high": float(means.mean() + half)}


def rho_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each share of ablated components the score of each method, over networks."""
    found = []
    for at, test in enumerate(records[0]["tests"]):
        of_all = [record["tests"][at] for record in records]
        rho = {name: over_networks([one["rho"][name] for one in of_all]) for name in METHODS}
        explained = over_networks([one["variance_explained"] for one in of_all])
        failed = sum(one["failed"] for one in of_all)
        pairs = [one["pairs_of_layers"] for one in of_all if one["pairs_of_layers"] is not None]
        found.append(
            {
                "pairs_of_layers": float(np.mean(pairs)) if pairs else None,
                "alpha": test["alpha"],
                "rho": rho,
                "variance_explained": explained,
                "failed": failed,
            }
        )
    return found


def layers_of(components: Components, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each layer the mean size of its components' weights, and its share of the sum of all."""
    sizes = np.mean([record["sizes"][FITTED] for record in records], axis=0)
    total = float(sizes.sum()) or 1.0
    return [
        {
            "layer": layer.module,
            "kind": layer.kind,
            "components": layer.count,
            "mean_size": float(sizes[components.within(at)].mean()),
            "share": float(sizes[components.within(at)].sum()) / total,
        }
        for at, layer in enumerate(components.layers)
    ]


def strongest_of(components: Components, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the components of one network whose weights are largest on average over targets."""
    sizes, weights = np.array(record["sizes"][FITTED]), np.array(record["weights"])
    return [
        {
            "component": components.named(int(at)),
            "mean_size": float(sizes[at]),
            "mean_weight": float(weights[at]),
            "low": record["weights_low"][at],
            "high": record["weights_high"][at],
        }
        for at in np.argsort(-sizes, kind="stable")[:TOP]
    ]
