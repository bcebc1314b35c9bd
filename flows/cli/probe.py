"""How long a model takes here, by training a few."""

from dataclasses import asdict
from typing import Any

from flows.request import RunnerConfig
from modeldiff_core.stages.probe import probe_training
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import Training


def probed(training: Training, kind: str, runner: RunnerConfig, store: StoreSettings) -> dict[str, Any]:
    """The record of the fastest way that the runner's first place can train models; kept in the store, and read there.

    Its seconds_a_model are those of one CPU worker, or of one device with all its processes.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        execution = {**runner.execution(), "device": runner.places[0]}
        return probe_training(asdict(store), training.to_json(), kind, execution)
    finally:
        torch.set_num_threads(threads)
