"""What one run may take: shards, of each of which Prefect's server keeps a record, and hours."""

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.plan import Survey, survey
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.measure import seconds_a_model
from modeldiff_platform.flows.request import Request, RunnerConfig


def check_limits(experiment: Experiment, store: ObjectStore, asked: Request) -> None:
    """Raise ConfigError for more missing shards or hours than a run may have."""
    found = survey(experiment.now(store), store)
    check_shards(found, asked.runner)
    most = asked.runner.max_hours
    if most is not None:
        hours = hours_left(found, store, asked)
        if hours > most:
            hint = "Raise it, take fewer models, or more workers"
            raise ConfigError("runner.max_hours", f"at least the {hours:.2g} hours of missing work", most, hint)


def check_shards(found: Survey, runner: RunnerConfig) -> None:
    """Raise ConfigError for more missing shards than a run may submit."""
    missing = sum(step.on_device and not step.memoized for step in found.missing)
    if missing > runner.max_shards:
        raise ConfigError(
            "runner.max_shards",
            f"at least {missing}, the shards that are missing",
            runner.max_shards,
            "Raise it; or raise subsets.shard_size in a study that is not begun, so that a shard takes minutes",
        )


def hours_left(found: Survey, store: ObjectStore, asked: Request) -> float:
    """Return the predicted hours of what is missing: of models by a measurement here, of all else by its cost."""
    measured = seconds_a_model(found.missing, asked)
    seconds = sum(
        measured[key] * step.cost.units if (key := step.label.group) in measured else step.cost.seconds
        for step in found.missing
    )
    seconds += sum(found.later.values())
    return seconds / len(asked.runner.places) / 3600
