"""From a request to an experiment, after everything that can be wrong with it has been looked for."""

from modeldiff_core.errors import ConfigError, DamagedObject, StoreError
from modeldiff_core.experiments.experiment import Experiment, experiments
from modeldiff_core.stages.own_code import check_code
from modeldiff_core.store import ObjectStore
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.ffcv_source import check_workers
from modeldiff_platform.flows.request import Request


def experiment_of(asked: Request) -> Experiment:
    """Return the experiment of a request; raises ConfigError for one that names what is not there."""
    return experiments().get(asked.kind).of(asked.study, ObjectStore(asked.store))


def resolve(asked: Request) -> tuple[Experiment, list[str]]:
    """Return the experiment, and warnings; raises ConfigError before anything is trained or written."""
    for device in asked.runner.devices:
        available_device(device)
    check_workers(asked.runner.ffcv_workers)
    ObjectStore(asked.store).check()
    try:
        experiment = experiment_of(asked)
        warnings = [*experiment.check(), *check_code(experiment, ObjectStore(asked.store), asked.runner.accept_code)]
    except DamagedObject:
        raise
    except StoreError as error:
        raise ConfigError("store.root", "a place that can be read", asked.store.root, str(error)) from error
    if asked.store.url.startswith("memory://"):
        raise ConfigError("store.root", "a store that worker processes share", asked.store.root)
    ObjectStore(asked.store).probe()
    return experiment, warnings
