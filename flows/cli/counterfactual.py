"""``modeldiff counterfactual``: whether margins move as the datamodels of a finished comparison predict."""

import shlex
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from flows.cli.compose import composed, parse_request
from flows.prefect_api.recorded import recorded
from flows.request import Request
from flows.resolve import resolve
from modeldiff_core.settings import config_error
from modeldiff_core.stages.counterfactual import Counterfactual
from modeldiff_core.stages.inventory import shard_sets
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import load_dataset
from modeldiff_core.study.counterfactual import CounterfactualConfig, check_counterfactual


def counterfactual(overrides: Sequence[str]) -> int:
    """Train models without the most helpful examples of chosen targets and set actual against predicted changes."""
    asked, settings = _request(overrides)
    comparison, warnings = resolve(asked)
    for warning in warnings:
        print(f"modeldiff: warning: {warning}", file=sys.stderr)
    store = ObjectStore(asked.store)
    check_counterfactual(settings, comparison.study, load_dataset(comparison.study.dataset))
    check = Counterfactual(current_round(store, comparison).comparison, settings)
    lacking = _lacking(store, check)
    if lacking:
        others = [o for o in overrides if not o.startswith("counterfactual.")]
        print(f"modeldiff: lacking {lacking}\nRun: modeldiff compare {shlex.join(others)}", file=sys.stderr)
        return 1
    with recorded() as api:
        print(f"Prefect UI: {api.ui_url}", flush=True)
        from flows.removals import run_check
        from flows.runners.window import RunFailed

        try:
            result = run_check(check.comparison.study, asked.store, asked.runner, settings)
        except RunFailed as error:
            again = shlex.join(overrides)
            print(f"modeldiff: {error}\nResume with: modeldiff counterfactual {again}", file=sys.stderr)
            return 1
    for line in result["findings"]:
        print(line)
    print(f"Page: {store.url(check.page)}")
    return 0


def _request(overrides: Sequence[str]) -> tuple[Request, CounterfactualConfig]:
    content = composed(overrides, "+counterfactual=standard")
    asked = content.pop("counterfactual")
    try:
        settings = CounterfactualConfig.model_validate(asked)
    except ValidationError as error:
        raise config_error(error, prefix="counterfactual.") from error
    return parse_request(content), settings


def _lacking(store: ObjectStore, check: Counterfactual) -> str:
    """What a check needs of the comparison and the store does not hold; empty if nothing."""
    shards = [s for s in shard_sets(store, check.comparison) if s.kind == "subsets" and s.missing]
    fits = [check.comparison.regression(training, None).reference for training in check.comparison.trainings]
    missing = [f"shards of {s.training.algorithm.name}" for s in shards]
    missing += [f"datamodels at {fit.key}" for fit in fits if not fit.complete(store)]
    return ", ".join(missing)
