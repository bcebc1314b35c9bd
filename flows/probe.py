"""How long a model takes here, by training a few."""

from typing import Any

from modeldiff_core.stages.probe import measured_ways, probe_training
from modeldiff_core.study import Training
from modeldiff_core.training import Execution


def seconds_a_model(
    training: Training, kind: str, device: str, stack: int, store: dict[str, Any] | None = None
) -> float:
    """Wall-clock seconds a model in the fastest way that a worker can train it, stacks of at most `stack`.

    store: where the measurement is kept, and read if it was made before.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        if store is None:
            return float(measured_ways(training, kind, Execution(device, stack))["seconds_a_model"])
        execution = {"device": device, "stack": stack}
        return float(probe_training(store, training.to_json(), kind, execution)["seconds_a_model"])
    finally:
        torch.set_num_threads(threads)
