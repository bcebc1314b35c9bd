"""How long a model takes here, by training a few."""

import time

from modeldiff_core.study import Training
from modeldiff_core.training import Execution, train_ensemble, train_subset_models


def seconds_a_model(training: Training, kind: str, device: str, stack: int) -> float:
    """Wall-clock seconds a model, from one launch of at most `stack` models after a small one to warm up."""
    import torch

    task = training.task()
    execution = Execution(device, stack)
    size = training.shard_size if kind == "subsets" else training.ensemble_shard_size
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        for models in (range(1), range(min(stack, size))):
            start = time.perf_counter()
            if kind == "subsets":
                train_subset_models(task, training.sampler(len(task.train)), models, execution)
            else:
                train_ensemble(task, models, execution)
            seconds = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    return seconds / len(models)
