"""Tasks: the summary of a comparison and its report."""

from typing import Any

from prefect import task

from modeldiff_core.stages import report as report_stage
from modeldiff_core.stages import summary as summary_stage
from tasks.policy import CACHED
from tasks.worker_pool import run_stage


@task(name="summary", task_run_name="summary of {label}", tags=["report"], **CACHED)
def write_summary(
    label: str, reference: dict[str, Any], store: dict[str, Any], study: dict[str, Any]
) -> dict[str, Any]:
    """Write summary.json and effects.parquet."""
    return run_stage(summary_stage.write_summary, store, study)


@task(name="report", task_run_name="report of {label}", tags=["report"], **CACHED)
def write_report(label: str, reference: dict[str, Any], store: dict[str, Any], study: dict[str, Any]) -> dict[str, Any]:
    """Draw the report."""
    return run_stage(report_stage.write_report, store, study)
