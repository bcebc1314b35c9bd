"""``modeldiff counterfactual``: whether margins move as the datamodels of a finished comparison predict."""

import base64
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import flow, get_run_logger, tags
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import ValidationError

from flows.compose import Request, RunnerConfig, composed, parse_request
from flows.progress import StageProgress
from flows.resolve import resolve
from flows.runners import Call, open_runner
from flows.server import prefect_api
from flows.window import RunFailed, run_window
from modeldiff_core.stages.counterfactual import Counterfactual
from modeldiff_core.stages.inventory import shard_sets
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore, StoreSettings, read_record
from modeldiff_core.study import StudyConfig, load_dataset
from modeldiff_core.study.config import config_error
from modeldiff_core.study.counterfactual import CounterfactualConfig, check_counterfactual
from tasks import counterfactual as tasks


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
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "ERROR")
    with prefect_api() as api:
        print(f"Prefect UI: {api.ui_url}", flush=True)
        try:
            result = _run(check.comparison.study, asked, settings)
        except RunFailed as error:
            again = shlex.join(overrides)
            print(f"modeldiff: {error}\nResume with: modeldiff counterfactual {again}", file=sys.stderr)
            return 1
    for line in result["findings"]:
        print(line)
    print(f"Page: {store.url(check.page)}")
    return 0


@flow(name="counterfactual", flow_run_name="counterfactual {study.name}")
def check_flow(
    study: StudyConfig, store: StoreSettings, runner: RunnerConfig, asked: CounterfactualConfig
) -> dict[str, Any]:
    """Train what is missing, judge it, and show it; gives the findings."""
    comparison, _ = resolve(Request(study, store, runner))
    check, objects, settings = Counterfactual(comparison, asked), ObjectStore(store), asdict(store)
    if not check.record.complete(objects):
        with open_runner(runner, store) as places:
            calls = list(_training_calls(check, objects, settings, runner))
            get_run_logger().info("%d of %d removals to train", len(calls), 2 * len(check.targets()))
            print(f"{study.name}: {len(calls)} of {2 * len(check.targets())} removals to train", flush=True)
            arguments = {
                "label": study.name, "store": settings, "study": study.model_dump(mode="json"),
                "asked": asked.model_dump(mode="json"),
            }  # fmt: skip
            with StageProgress("counterfactual", "training without", len(calls) + 1, unit="removals") as progress:
                for part in (calls, [Call("verdict", tasks.judge, arguments)]):
                    run_window(part, places, lambda call: progress.advance(call.units)).succeeded(study.name)
    return _publish(check, objects)


def _run(study: StudyConfig, asked: Request, settings: CounterfactualConfig) -> dict[str, Any]:
    with tags(study.name, "counterfactual"):
        result: dict[str, Any] = check_flow(study=study, store=asked.store, runner=asked.runner, asked=settings)
    return result


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


def _training_calls(
    check: Counterfactual, store: ObjectStore, settings: dict[str, Any], runner: RunnerConfig
) -> list[Call]:
    calls = []
    for which, training in enumerate(check.comparison.trainings):
        for removal in check.removals(which):
            if not removal.reference.complete(store):
                label = f"{check.comparison.study.name} {training.algorithm.name} without what helps {removal.target}"
                arguments = {"label": label, "store": settings, "removal": removal.to_json(),
                             "execution": runner.execution(), "limit": runner.shard_timeout_s}  # fmt: skip
                calls.append(Call(label, tasks.train_without, arguments))
    return calls


def _publish(check: Counterfactual, store: ObjectStore) -> dict[str, Any]:
    """Artifacts of the verdict, and its findings."""
    record = read_record(store, check.record.record)
    findings = []
    for found in record["algorithms"].values():
        low, high = found["pearson_interval"]
        findings.append(
            f"{found['name']}: without the {check.settings.top_k} most helpful examples of {len(found['changes'])} "
            f"targets, predicted and actual changes of margin correlate with {found['pearson']:.2f} "
            f"[{low:.2f}, {high:.2f}] (ranks {found['spearman']:.2f}); actual changes are {found['slope']:.2f} times "
            f"the predicted ({found['models']} models each)."
        )
    key = check.comparison.study.name.replace("_", "-")
    create_markdown_artifact("\n".join(f"- {line}" for line in findings), key=f"{key}-counterfactual")
    data = base64.b64encode(store.read(f"{check.record.key}/scatter.png")).decode()
    create_image_artifact(f"data:image/png;base64,{data}", key=f"{key}-counterfactual-scatter", description="changes")
    return {"record": check.record.record, "findings": findings}
