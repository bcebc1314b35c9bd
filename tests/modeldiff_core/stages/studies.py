"""A whole study in a second or two, run stage by stage without any flow."""

from typing import Any

from modeldiff_core.identity import plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import consolidate
from modeldiff_core.stages.curve import Curve, follow_curve
from modeldiff_core.stages.directions import find_directions, null_block
from modeldiff_core.stages.effects import measure_effect
from modeldiff_core.stages.enrichment import describe
from modeldiff_core.stages.findings import descriptions, significant_entries
from modeldiff_core.stages.inventory import shard_sets
from modeldiff_core.stages.regress import finish_regression, regress_block
from modeldiff_core.stages.report import write_report
from modeldiff_core.stages.score import score
from modeldiff_core.stages.search import measure_finalists, propose_candidates, rank_candidates, searches
from modeldiff_core.stages.summary import write_summary
from modeldiff_core.stages.train import SHARD_WORKERS
from modeldiff_core.store import ObjectStore, StoreSettings, write_record
from modeldiff_core.study import parse_study

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
    settings: Any = plain(store.settings)
    study = comparison.study.model_dump(mode="json")
    execution = {"device": "cpu", "stack": 20}
    for training in comparison.trainings:
        if not store.exists(f"{training.prefix}/training.json"):
            write_record(store, f"{training.prefix}/training.json", training.record())
    for shards in shard_sets(store, comparison):
        for index in shards.missing:
            SHARD_WORKERS[shards.kind](settings, shards.training.to_json(), index, execution)
    for training in comparison.trainings:
        if not comparison.regression(training, None).matrix.complete(store):
            assert not consolidate(settings, training.to_json(), comparison.study.subsets.models)["damaged"]
        curve = Curve.of(comparison.study, training)
        assert not follow_curve(settings, curve.to_json(), comparison.study.subsets.models)["damaged"]
    for fit in comparison.regressions().values():
        if not fit.reference.complete(store):
            for block in fit.blocks:
                regress_block(settings, fit.to_json(), *block)
            finish_regression(settings, fit.to_json())
    for training, fit in comparison.scored().values():
        score(settings, training.to_json(), fit.to_json(), comparison.study.ensemble.models)
    for pair in comparison.effects():
        for effect in pair:
            measure_effect(settings, effect.to_json(), execution)
    find_directions(settings, comparison.pair.to_json())
    for block in comparison.null_blocks:
        null_block(settings, comparison.pair.to_json(), block)
    entries = significant_entries(store, comparison)
    for spec in descriptions(comparison, entries):
        describe(settings, spec.to_json())
    for search in searches(comparison.study, comparison.trainings, comparison.pair, entries):
        propose_candidates(settings, search.to_json())
        for stage in (rank_candidates, measure_finalists):
            for which in ("a", "b"):
                stage(settings, search.to_json(), which, execution)
    if not comparison.summary.complete(store):
        write_summary(settings, study)
    if not comparison.report.complete(store):
        write_report(settings, study)


def local(root: object) -> ObjectStore:
    """A store in a folder."""
    return ObjectStore(StoreSettings(str(root)))
