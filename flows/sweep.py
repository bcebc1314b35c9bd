"""The flow of a sweep as runs of earlier versions arranged its parameters; ``modeldiff retry`` runs them again."""

from typing import Any

from prefect import flow

from modeldiff_core.experiments.sweep import SweepPoint, SweepStudy
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import StudyConfig
from modeldiff_platform.flows.experiment import carry_out
from modeldiff_platform.flows.prefect_api.server import note_run
from modeldiff_platform.flows.request import Request, RunnerConfig


@flow(name="sweep", flow_run_name="sweep {name}", result_serializer="json", persist_result=True, on_running=[note_run])
def sweep(name: str, points: list[tuple[str, StudyConfig]], store: StoreSettings, runner: RunnerConfig) -> Any:
    """Compare at every point; what is complete is not run again."""
    listed = tuple(SweepPoint(words=words, study=study.model_dump(mode="json")) for words, study in points)
    return carry_out(Request("sweep", SweepStudy(name=name, points=listed), store, runner))
