"""How fast mixtures of experts are trained on a CPU, beside the plainest correct loop in torch.

python -m benchmarks.moe [--rounds 7] [--only "16 wide"] [--device cuda]

Rules, written before it ran:
- A training step (forward, backward, update) at E = 64 takes at most a third of the time of the same step whose
  experts are the plain loop (`training.moe.experts.looped`: each expert looks for its tokens); the first losses of both
  agree to 1e-4.
- A step at E = 64 takes at most 1 + the router's larger share of the FLOPs + .15 times one at E = 4, with as many
  active parameters.
- On a GPU, in bfloat16: outputs of one layer by torch's grouped product differ from the loop's by at most 2 % of the
  largest; the share of the GPU's own peak in a large product is told without a bound.
- Times on a CPU are processor time of one thread, the median over rounds in which all ways take turns; ratios are of
  medians.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from statistics import median

import numpy as np
import torch

from modeldiff_core.threads import one_thread
from modeldiff_core.training.devices import keep_freed_memory
from modeldiff_core.training.moe import MoeNetwork, MoeRecipe, TrainedMoe, parameters, step_flops
from modeldiff_core.training.moe.counts import PASSES, ROUTER, token_flops
from modeldiff_core.training.moe.experts import Way, mixture
from modeldiff_core.training.moe.routing import route

SHAPES = {
    "16 wide, K 4": MoeNetwork(96, 64, 16, 2, 1, 64, 4, 4, True),
    "16 wide, K 1": MoeNetwork(96, 64, 16, 2, 1, 64, 1, 4, True),
    "32 wide, K 4": MoeNetwork(96, 64, 32, 2, 2, 64, 4, 4, True),
    "64 wide, K 4": MoeNetwork(96, 64, 64, 2, 2, 64, 4, 4, True),
}
WAYS: tuple[Way, ...] = ("quickest", "sorted", "loop")
STEPS = 4
"""Steps of a turn."""
SEQUENCES = 32


def batch(network: MoeNetwork, step: int) -> np.ndarray:
    """Return random tokens, which send tokens to experts as unevenly as a new router does."""
    drawn = np.random.default_rng(step)
    return drawn.integers(0, network.vocabulary, (SEQUENCES, network.context + 1))


def timed(turns: dict[str, Callable[[], object]], rounds: int, device: torch.device | None = None) -> dict[str, float]:
    """Return the median seconds of each way, in rounds of all of them after one that is left out.

    Processor time on a CPU, time by the clock until a GPU has ended.
    """

    def now() -> float:
        if device is None:
            return time.process_time()
        torch.cuda.synchronize(device)
        return time.perf_counter()

    seconds = {name: list[float]() for name in turns}
    for _ in range(rounds + 1):
        for name, turn in turns.items():
            began = now()
            turn()
            seconds[name].append(now() - began)
    return {name: median(found[1:]) for name, found in seconds.items()}


def stepping(network: MoeNetwork, way: Way) -> Callable[[], float]:
    """Return a function that takes STEPS steps and gives the last loss."""
    trained = TrainedMoe(network, MoeRecipe(sequences=SEQUENCES), 10**6, 0, way=way)

    def turn() -> float:
        return [trained.advance(batch(network, step)) for step in range(STEPS)][-1]

    return turn


def beside_the_loop(shapes: Mapping[str, MoeNetwork], rounds: int) -> None:
    """Print the time of a step by each way."""
    ways = " | ".join(f"{way}, ms" for way in WAYS)
    print(f"\n| E = 64, {SEQUENCES} x 64 tokens | N | {ways} | loop / quickest | GFLOP/s |")
    print("|---|---|" + "---|" * (len(WAYS) + 2))
    for name, network in shapes.items():
        first = [stepping(network, way)() for way in WAYS]
        assert max(first) - min(first) < 1e-4, first
        found = timed({way: stepping(network, way) for way in WAYS}, rounds)
        each = [found[way] / STEPS for way in WAYS]
        speed = step_flops(network, SEQUENCES) / each[0] / 1e9
        cells = " | ".join(f"{1e3 * one:.1f}" for one in each)
        print(f"| {name} | {parameters(network):,} | {cells} | {each[-1] / each[0]:.1f} | {speed:.1f} |", flush=True)


def many_beside_few(shapes: Mapping[str, MoeNetwork], rounds: int) -> None:
    """Print the time of a step at E = 64 over that at E = 4, both with K active experts."""
    print("\n| E = 64 over E = 4, K active | ratio | allowed | extra share of FLOPs by the router |")
    print("|---|---|---|---|")
    for name, network in shapes.items():
        few = replace(network, experts=4)
        found = timed({"many": stepping(network, "quickest"), "few": stepping(few, "quickest")}, rounds)
        extra = (step_flops(network, SEQUENCES) - step_flops(few, SEQUENCES)) / step_flops(few, SEQUENCES)
        ratio = found["many"] / found["few"]
        print(f"| {name} | {ratio:.2f} | {1 + extra + 0.15:.2f} | {extra:.2f} |", flush=True)
    print(f"\nA router's FLOPs are counted as the paper does, {ROUTER} per token, width and expert.")


def on_gpu(device: torch.device, rounds: int) -> None:
    """Print how the grouped product of a GPU agrees with the loop, and the time and speed of a step."""
    network = MoeNetwork(32768, 1024, 1024, 4, 8, 64, 4, 2)
    drawn = torch.Generator(device).manual_seed(0)
    shapes = (8192, 1024), (1024, 64), (64, 1024, 2 * network.hidden), (64, network.hidden, 1024)
    x, router, inner, outer = (torch.randn(one, generator=drawn, device=device) / 32 for one in shapes)
    routing = route(32 * x @ router, network.active)
    with torch.autocast(device.type, torch.bfloat16):
        found, expected = (mixture(x, inner, outer, routing, way).float() for way in ("quickest", "loop"))
    error = float((found - expected).abs().max() / expected.abs().max())
    print(
        f"grouped against loop, bfloat16: {error:.1e} of the largest output ({'holds' if error <= 0.02 else 'WRONG'})"
    )
    large = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    turns = {"peak": lambda: [large @ large for _ in range(10)]}
    for way in ("quickest", "loop"):
        trained = TrainedMoe(network, MoeRecipe(sequences=8), 10**6, 0, device, way)
        turns[way] = lambda trained=trained: trained.advance(batch(network, 0)[:8])  # type: ignore[misc]
    seconds = timed(turns, rounds, device)
    peak = 10 * 2 * 8192**3 / seconds["peak"]
    speed = token_flops(network, PASSES) * 8 * network.context / seconds["quickest"]
    ratio = seconds["loop"] / seconds["quickest"]
    print(
        f"step of {parameters(network):,} parameters: {1e3 * seconds['quickest']:.1f} ms, {ratio:.1f} times the loop's"
    )
    print(f"speed, {speed / peak:.0%} of the peak in a large product ({peak / 1e12:.0f} TFLOP/s)")


def main() -> None:
    """Run all that the device can."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="only networks whose name has these words in it")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    if asked.device != "cpu":
        on_gpu(torch.device(asked.device), asked.rounds)
        return
    one_thread()
    print(f"{date.today()} · {platform.processor() or platform.machine()}, load {os.getloadavg()[0]:.1f}, one thread")
    keep_freed_memory()
    shapes = {name: network for name, network in SHAPES.items() if asked.only in name}
    beside_the_loop(shapes, asked.rounds)
    many_beside_few(shapes, asked.rounds)


if __name__ == "__main__":
    main()
