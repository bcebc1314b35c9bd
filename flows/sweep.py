"""The flow of a sweep: comparisons one after the other as its subflows, and a table of what they found."""

from functools import partial
from typing import Any, cast

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled

from flows.compare import run_comparison
from flows.prefect_api.cancelling import stopped_when_cancelled
from flows.prefect_api.deployed import check_cluster
from flows.prefect_api.patience import patiently
from flows.prefect_api.server import note_run
from flows.request import RunnerConfig
from flows.runners.turns import turns_on_gpus
from flows.runners.window import RunFailed
from modeldiff_core.errors import ModelDiffError
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.inventory import results
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore, StoreSettings, read_record
from modeldiff_core.study import StudyConfig
from tasks.policy import result_storage


def run_sweep(points: list[tuple[str, StudyConfig]], store: StoreSettings, runner: RunnerConfig) -> dict[str, Any]:
    """Run the flow of a sweep from this process; points: the words and the study of each. Raises as run_comparison."""
    name = points[0][1].name
    configured = sweep.with_options(result_storage=result_storage(store))
    return cast(dict[str, Any], configured(name, points, store, runner))


@flow(name="sweep", flow_run_name="sweep {name}", result_serializer="json", persist_result=True, on_running=[note_run])
def sweep(
    name: str, points: list[tuple[str, StudyConfig]], store: StoreSettings, runner: RunnerConfig
) -> dict[str, Any] | State[Any]:
    """Compare at every point; one that fails never stops the others, and what is complete is not run again."""
    check_cluster(runner)
    logger = get_run_logger()
    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    try:
        # its comparisons, which came from no work pool themselves, use the turn of the sweep
        with stopped_when_cancelled(), turns_on_gpus(runner.devices):
            for words, study in points:
                try:
                    rows.append({"point": words, **_found(study, store, runner)})
                except (ModelDiffError, OSError) as error:
                    logger.error("%s: %s", words, error)
                    failures[words] = str(error)
                    rows.append({"point": words, "status": f"failed: {error}"})
                _show(name, rows)
    except CancelledRun as error:  # this run, or one of its comparisons
        return Cancelled(message=str(error))
    if failures:
        lines = "\n".join(f"  {words}: {why}" for words, why in failures.items())
        raise RunFailed(f"{len(failures)} of {len(points)} comparisons failed:\n{lines}")
    return {"findings": [f"{row['point']}: {row['findings']} Report: {row['report']}" for row in rows]}


def _found(study: StudyConfig, store: StoreSettings, runner: RunnerConfig) -> dict[str, Any]:
    """A row of the table: what the store holds of a point, after its comparison was run if something was missing."""
    objects = ObjectStore(store)
    now = current_round(objects, Comparison.of(study))
    done = now.last and all(r.complete(objects) for r in (*results(now.comparison).values(), now.comparison.report))
    if not done:
        run_comparison(study, store, runner)
    comparison = current_round(objects, Comparison.of(study)).comparison
    summary = read_record(objects, comparison.summary.record)
    return {
        "status": "done before" if done else "done",
        "LDS, A": round(summary["lds"]["a"]["mean"], 3),
        "LDS, B": round(summary["lds"]["b"]["mean"], 3),
        "significant directions": sum(bool(direction["significant"]) for direction in summary["directions"]),
        "distinguishing": ", ".join(t["name"] for t in summary["transformations"] if t["distinguishing"]) or "none",
        "findings": " ".join(summary["findings"]),
        "report": objects.url(comparison.report.record),
    }


def _show(name: str, rows: list[dict[str, Any]]) -> None:
    key = f"{name.replace('_', '-')}-sweep"
    patiently(partial(create_table_artifact, rows, key=key, description="What each comparison of the sweep found"))
