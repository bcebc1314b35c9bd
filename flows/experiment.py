"""The flow of every experiment: what the store lacks of its plan is made, then its findings are shown.

Each kind of experiment has a flow of its name, whose form in Prefect's UI shows that experiment's settings:
``modeldiff_platform.flows.experiment.compare`` and so on, made when they are asked for.
"""

from functools import cache, partial
from typing import Any, cast

from prefect import Flow, flow, get_run_logger, tags
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled

from modeldiff_core.errors import StoreError
from modeldiff_core.experiments.experiment import Experiment, Shown, data_lines, experiments
from modeldiff_core.plan import RunFailed, run
from modeldiff_core.stages.own_code import note_code
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.limits import check_limits
from modeldiff_platform.flows.prefect_api.artifacts import publish
from modeldiff_platform.flows.prefect_api.cancelling import stopped_when_cancelled
from modeldiff_platform.flows.prefect_api.deployed import check_cluster, check_modules
from modeldiff_platform.flows.prefect_api.patience import patiently
from modeldiff_platform.flows.prefect_api.progress import RunProgress
from modeldiff_platform.flows.prefect_api.server import note_run
from modeldiff_platform.flows.request import Request, RunnerConfig
from modeldiff_platform.flows.resolve import experiment_of, resolve
from modeldiff_platform.flows.runners import open_runner
from modeldiff_platform.flows.runners.rehearsing import rehearse_own
from modeldiff_platform.flows.runners.tuning import tune
from modeldiff_platform.flows.runners.turns import turns_on_gpus
from modeldiff_platform.flows.runners.window import Window
from modeldiff_platform.tasks.policy import result_storage


def run_experiment(asked: Request) -> dict[str, Any]:
    """Run the flow of an experiment from this process; raises CancelledRun if that is what became of it.

    Prefect's own results are kept with the study's objects.
    """
    configured = flow_of(asked.kind).with_options(result_storage=result_storage(asked.store))
    with tags(*experiment_of(asked).tags):
        return cast(dict[str, Any], configured(study=asked.study, store=asked.store, runner=asked.runner))


@cache
def flow_of(kind: str) -> Flow[Any, Any]:
    """Return the flow of an experiment; raises ConfigError if there is none of that name."""
    settings = experiments().get(kind).settings

    def experiment(study: Any, store: StoreSettings, runner: RunnerConfig) -> Any:
        return carry_out(Request(kind, study, store, runner))

    # Prefect makes the form of these, and deployments name the function by its module and name.
    experiment.__annotations__ = {"study": settings, "store": StoreSettings, "runner": RunnerConfig}
    experiment.__name__ = experiment.__qualname__ = kind
    experiment.__doc__ = settings.__doc__
    return flow(
        name=kind,
        flow_run_name=f"{kind} {{study.name}}",
        result_serializer="json",
        persist_result=True,
        on_running=[note_run],
    )(experiment)


def __getattr__(name: str) -> Flow[Any, Any]:
    """Return the flow of the experiment of that name, for deployments."""
    if name.startswith("_") or name not in experiments().names():
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return flow_of(name)


def carry_out(asked: Request) -> "dict[str, Any] | State[Any]":
    """Make what the store lacks of an experiment, and show what was found; returns the summary's place and findings."""
    check_cluster(asked.runner)
    check_modules(asked.study)
    experiment, warnings = resolve(asked)
    store, progress = ObjectStore(asked.store), RunProgress(experiment.name)
    check_limits(experiment, store, asked)
    for warning in warnings:
        get_run_logger().warning(warning)
    if lines := data_lines(experiment):
        get_run_logger().info("\n".join(["Data", *lines]))
    try:
        with (
            stopped_when_cancelled(),
            turns_on_gpus(asked.runner.devices),
            open_runner(asked.runner, asked.store) as places,
        ):
            for words in rehearse_own(experiment, store, asked, places):
                progress.note(words, warn=False)
            plan = note_code(experiment, store, asked.runner.accept_code)
            if asked.runner.tune:
                tune(experiment, store, asked, places)
            run(plan, store, Window(places, asked.runner, asked.store), progress)
    except CancelledRun as error:
        return Cancelled(message=str(error))
    except RunFailed:
        if part := shown_so_far(experiment, store):
            patiently(partial(publish, experiment.name, part, store))
        raise
    done = experiment.now(store)
    if done.refresh(store):
        progress.note(f"{done.name}: the report is drawn again, since settings that it shows have changed", warn=False)
    shown = done.shown(store)
    patiently(partial(publish, done.name, shown, store))
    return {
        "summary": done.summary.record,
        "findings": list(shown.findings),
        "links": dict(shown.links),
        "exit_code": done.exit_code(store),
    }


def shown_so_far(experiment: Experiment, store: ObjectStore) -> Shown | None:
    """Return what a run that failed has found, or None if that cannot be read, which must not hide why it failed."""
    try:
        return experiment.so_far(store)
    except StoreError as error:
        get_run_logger().warning("what was found so far cannot be shown: %s", error)
        return None
