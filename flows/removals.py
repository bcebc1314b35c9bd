"""The flow of a counterfactual check: train models again without what helps each target, and judge what was said."""

import base64
from dataclasses import asdict
from typing import Any

from prefect import flow, get_run_logger, tags
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from flows.prefect_api.progress import StageProgress
from flows.request import Request, RunnerConfig
from flows.resolve import resolve
from flows.runners import Call, open_runner
from flows.runners.window import run_window
from modeldiff_core.stages.counterfactual import Counterfactual
from modeldiff_core.store import ObjectStore, StoreSettings, read_record
from modeldiff_core.study import StudyConfig
from modeldiff_core.study.counterfactual import CounterfactualConfig
from tasks import counterfactual as tasks


def run_check(
    study: StudyConfig, store: StoreSettings, runner: RunnerConfig, asked: CounterfactualConfig
) -> dict[str, Any]:
    """Run the flow of a check from this process."""
    with tags(study.name, "counterfactual"):
        result: dict[str, Any] = check_flow(study=study, store=store, runner=runner, asked=asked)
    return result


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
