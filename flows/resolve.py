"""From a request to a comparison, after everything that can be wrong with it has been looked for."""

from collections.abc import Iterable

from flows.request import Request, RunnerConfig
from modeldiff_core.errors import ConfigError
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.inventory import ShardSet
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import check_study, load_dataset
from modeldiff_core.training.devices import available_device
from modeldiff_core.training.ffcv_source import check_workers


def resolve(asked: Request) -> tuple[Comparison, list[str]]:
    """The comparison, and warnings; raises ConfigError before anything is trained or written."""
    for device in asked.runner.devices:
        available_device(device)
    check_workers(asked.runner.ffcv_workers)
    comparison = Comparison.of(asked.study)
    warnings = check_study(asked.study, load_dataset(asked.study.dataset), comparison.trainings)
    if asked.store.url.startswith("memory://"):
        raise ConfigError("store.root", "a store that worker processes share", asked.store.root)
    ObjectStore(asked.store).probe()
    return comparison, warnings


def check_shards(sets: Iterable[ShardSet], runner: RunnerConfig) -> None:
    """Raise ConfigError for more missing shards than a run may submit: Prefect's server keeps a record of each."""
    missing = sum(len(shards.missing) for shards in sets)
    if missing > runner.max_shards:
        raise ConfigError(
            "runner.max_shards",
            f"at least {missing}, the shards that are missing",
            runner.max_shards,
            "Raise it; or raise subsets.shard_size in a study that is not begun, so that a shard takes minutes",
        )
