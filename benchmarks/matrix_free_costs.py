"""Measure what a calibrated comparison by differentiated trainings costs at 1,000, 10,000 and 60,000 training examples.

    OMP_NUM_THREADS=1 python -m benchmarks.matrix_free_costs [--cases CASE ...] [--out FILE] [--table] [--plot FILE]

Rules, written before it ran. Cases: digits 1,000 (digits_watermark, 797 targets), fashion 1,000, 10,000 and 60,000
(Fashion-MNIST, 1,000 targets), all with the MLP as shipped (64), and cnn 1,000 (digits, widths 16 and 32, a rate of
0.03). Each case in a process of its own, one thread, CPU seconds.

- A comparison at R = 8, q = 32 is 20 trainings at weight 0.5, 4 passes of 16 reverse products and 16 passes of 32
  forward ones; a preview of one training of each is 4 trainings (each is run for either kind of product), 2 passes of
  16 reverse and 2 of 32 forward products, with `preview.probes=8` 2 of 8 and 2 of 16. Products through an epoch of 200
  examples come first, so that no library makes its first call later. The training and each pass are measured once,
  after a warm-up where that takes at most 2 s, and multiplied; the directions are measured on random
  products of the right size. Forward products are carried beside their training, so their time is that of both less
  that of a training alone.
- An equivalent: a subset model of half of the examples by the fastest engine, mean of 60 at 1,000 examples, 8 at 10,000
  and 2 at 60,000, measured in the same process.
- Memory: the most that the process holds beyond what it held before the first training, free memory given back, beside
  what ``product_bytes`` says of it.
- By regression, **predicted**: models of each algorithm in proportion to the examples, as many as studies ship with at
  1,000 (2,000 digits, 3,000 Fashion-MNIST), times the equivalent; fits as `modeldiff plan` predicts the lasso's seconds
  and memory.
- memory: 2,000 targets and 60,000 examples (random bytes of Fashion-MNIST's shape), one epoch of the MLP, 32 forward
  and 32 reverse products, with the states that a comparison keeps and with 2√steps of them.
"""

import argparse
import ctypes
import gc
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from benchmarks.handful import trajectory_of
from benchmarks.metagradients import NETWORKS
from harness.batteries import records
from modeldiff_core.comparison.training_directions import directions_of_trainings
from modeldiff_core.data import Examples
from modeldiff_core.data.digits import Digits
from modeldiff_core.data.fashion_mnist import FashionMnist
from modeldiff_core.metagradients import Point, Trajectory, forward_products, process_of, reverse_products
from modeldiff_core.metagradients.memory import product_bytes
from modeldiff_core.metagradients.sgd import SgdProcess
from modeldiff_core.stages.regress import SECONDS
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.devices import fast_arithmetic
from modeldiff_core.training.sgd import Sgd

Record = dict[str, Any]
TRAININGS, PROBES, BASIS = 8, 16, 2
WARM, FEW = 2.0, 200
CASES: dict[str, tuple[str, int, str, float, int, int]] = {
    "digits 1,000": ("digits", 1000, "mlp", 0.1, 60, 2000),
    "fashion 1,000": ("fashion", 1000, "mlp", 0.1, 60, 3000),
    "cnn 1,000": ("digits", 1000, "cnn", 0.03, 60, 2000),
    "fashion 10,000": ("fashion", 10_000, "mlp", 0.1, 8, 3000),
    "fashion 60,000": ("fashion", 60_000, "mlp", 0.1, 2, 3000),
}
"""Data, training examples, network, peak rate, models of an equivalent, models of each algorithm at 1,000 examples."""
MEMORY = "memory"


def resident() -> int:
    """Return the memory of this process in bytes, what is free given back, and start to watch the most that it has."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def most() -> int:
    """Return the most memory that this process has had since ``resident``, in bytes."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = process_time()
    work()
    return process_time() - began


def measured(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work, the second time where the first takes at most WARM."""
    first = seconds(work)
    return first if first > WARM else seconds(work)


def warm(recipe: Sgd, train: Examples, targets: Examples) -> None:
    """Take products through one epoch of a few examples, so that libraries have made their first calls."""
    few, some = (Examples(one.images[:FEW], one.labels[:FEW]) for one in (train, targets))
    trajectory = trajectory_of(Task(replace(recipe, epochs=1), 1, few, some, 10), 0)
    forward_products(trajectory, torch.ones(1, FEW)), reverse_products(trajectory, torch.ones(1, FEW))


def case(name: str) -> Record:
    """Return the parts of a case."""
    data, train, network, rate, models, at_1000 = CASES[name]
    source = Digits(1000, 797) if data == "digits" else FashionMnist(train, 1000)
    loaded = source.load()
    recipe = Sgd(network=NETWORKS[network], learning_rate=rate)
    task = Task(recipe, 1, loaded.train, loaded.test, 10)
    masks = SubsetSampler(train, 0.5, 1).masks(range(models))
    train_subset_models(task, masks[:1], range(1), Execution())
    unit = min(seconds(lambda: train_subset_models(task, masks, range(models), Execution())) for _ in (0, 1)) / models
    warm(recipe, loaded.train, loaded.test)
    before, targets = resident(), len(loaded.test)
    training = measured(lambda: trajectory_of(task, 0).run())
    trajectory = trajectory_of(task, 0)
    trajectory.run()
    assert isinstance(trajectory.process, SgdProcess)
    psi, along = torch.randn(PROBES, targets), torch.randn(2 * PROBES, train)
    formula, steps = product_bytes(trajectory.process, trajectory.slots, 2 * PROBES), trajectory.process.steps
    reverse = measured(lambda: reverse_products(trajectory, psi))
    shorter = measured(lambda: reverse_products(trajectory, psi[: PROBES // 2]))
    del trajectory  # a comparison holds one at a time
    forward = measured(lambda: forward_products(trajectory_of(task, 0), along)) - training
    short = shorter, measured(lambda: forward_products(trajectory_of(task, 0), along[:PROBES])) - training
    grown, draws = most() - before, np.random.default_rng(0)
    shared = draws.standard_normal((targets, 2 * PROBES))
    products = shared + draws.standard_normal((2, TRAININGS, targets, 2 * PROBES))
    return {
        "case": name,
        "train": train,
        "targets": targets,
        "steps": steps,
        "unit": unit,
        "training": training,
        "reverse": reverse,
        "forward": forward,
        "short": short,
        "directions": seconds(lambda: directions_of_trainings(*products, 8, top=12)),
        "held": grown,
        "formula": formula,
        "models": at_1000 * train // 1000,
    }


def memory(name: str) -> Record:
    """Return peak memory and the formula with a comparison's states, or with 2√steps of them."""
    draws = np.random.default_rng(0)
    train, test = (
        Examples(draws.integers(256, size=(n, 28, 28, 1), dtype=np.uint8), np.arange(n) % 10) for n in (60_000, 2_000)
    )
    recipe = replace(Sgd(network=NETWORKS["mlp"], learning_rate=0.02), epochs=1)
    along = torch.randn(2 * PROBES, len(train))
    psi = torch.randn(2 * PROBES, len(test))
    warm(recipe, train, test)
    before = resident()
    task = Task(recipe, 1, train, test, 10)
    if name.endswith("kept"):
        trajectory = trajectory_of(task, 0)
    else:
        trajectory = Trajectory(process_of(task, Point.everywhere(len(train), 0.5), 0, Execution()))
    assert isinstance(trajectory.process, SgdProcess)
    took = [
        seconds(lambda: forward_products(trajectory, along)),
        seconds(lambda: reverse_products(trajectory, psi)),
    ]
    formula = product_bytes(trajectory.process, trajectory.slots, 2 * PROBES)
    return {
        "case": name,
        "slots": trajectory.slots,
        "steps": trajectory.process.steps,
        "held": most() - before,
        "formula": formula,
        "seconds": took,
    }


def totals(one: Record) -> Record:
    """Return a comparison's and a preview's seconds and equivalents, and the regression path's."""
    whole = 2 * (BASIS + TRAININGS) * one["training"] + 2 * BASIS * one["reverse"] + 2 * TRAININGS * one["forward"]
    whole += one["directions"]
    preview = 4 * one["training"] + 2 * one["reverse"] + 2 * one["forward"]
    short = 4 * one["training"] + 2 * sum(one["short"])
    trained = 2 * one["models"] * one["unit"]
    fitted = 2 * SECONDS * one["targets"] * one["train"] ** 2
    return {
        "comparison": whole,
        "equivalents": whole / one["unit"],
        "preview": preview / one["unit"],
        "short preview": short / one["unit"],
        "regression": trained + fitted,
        "of regression": (trained + fitted) / one["unit"],
        "memory": 4 * one["train"] ** 2,
    }


def table(found: list[Record]) -> str:
    """Return both tables."""
    lines = [
        "| | steps | equivalent, ms | training | reverse, of 16 | forward, of 32 | comparison | CPU s "
        "| preview, 16 / 8 probes | MiB (formula) | regression, predicted | CPU s | MiB |",
        "|---" * 13 + "|",
    ]
    for one in found:
        if one["case"] in CASES:
            made, unit = totals(one), one["unit"]
            lines.append(
                f"| {one['case']} | {one['steps']:,} | {1000 * unit:.1f} | {one['training'] / unit:.0f} | "
                f"{one['reverse'] / unit / PROBES:.1f} | {one['forward'] / unit / PROBES / 2:.1f} | "
                f"{made['equivalents']:,.0f} | {made['comparison']:,.0f} | {made['preview']:,.0f} / "
                f"{made['short preview']:,.0f} | "
                f"{one['held'] / 2**20:,.0f} ({one['formula'] / 2**20:,.0f}) | {made['of regression']:,.0f} | "
                f"{made['regression']:,.0f} | {made['memory'] / 2**20:,.0f} |"
            )
    lines += ["", "| memory, 2,000 targets × 60,000 examples | steps | MiB | formula | ratio |", "|---" * 5 + "|"]
    for one in found:
        if one["case"].startswith(MEMORY):
            ratio = one["held"] / one["formula"]
            sizes = f"{one['held'] / 2**20:,.0f} | {one['formula'] / 2**20:,.0f} | {ratio:.2f}"
            lines.append(f"| {one['case']}, {one['slots']} states | {one['steps']:,} | {sizes} |")
    return "\n".join(lines)


def plot(found: list[Record], file: Path) -> None:
    """Draw the cost against the number of training examples, Fashion-MNIST."""
    from matplotlib.figure import Figure

    own = sorted((one for one in found if one["case"].startswith("fashion")), key=lambda one: one["train"])
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    sizes = [one["train"] for one in own]
    regression = [totals(one)["of regression"] for one in own]
    axes.loglog(sizes, regression, "s--", color="tab:gray", label="regression, predicted")
    axes.loglog(
        sizes, [totals(one)["equivalents"] for one in own], "o-", label="derivatives of 8 + 2 trainings of each"
    )
    axes.loglog(sizes, [totals(one)["preview"] for one in own], "^-", label="a preview, 1 training of each")
    axes.set(
        xlabel="training examples", ylabel="cost, in subset models", title="A comparison of two MLPs, Fashion-MNIST"
    )
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)


def main() -> None:
    """Measure what is missing, each case in a process of its own, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*CASES, f"{MEMORY}, kept", f"{MEMORY}, 2√steps"]
    parser.add_argument("--cases", nargs="*", choices=every, default=every)
    parser.add_argument("--out", type=Path, default=Path("matrix_free_costs.jsonl"))
    parser.add_argument("--one", choices=every, help="measure this case in this process and print its record")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    if asked.one:
        torch.set_num_threads(1)
        with fast_arithmetic(torch.device("cpu")):
            print(json.dumps(memory(asked.one) if asked.one.startswith(MEMORY) else case(asked.one)))
        return
    done = {one["case"] for one in records(asked.out)}
    for name in () if asked.table else asked.cases:
        if name not in done:
            command = [sys.executable, "-m", "benchmarks.matrix_free_costs", "--one", name]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(said.splitlines()[-1] + "\n")
    found = list(records(asked.out))
    print(f"{platform.processor() or platform.machine()} · torch {torch.__version__}\n{table(found)}")
    if asked.plot:
        plot(found, asked.plot)


if __name__ == "__main__":
    main()
