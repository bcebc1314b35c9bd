"""A flow that sends many short tasks through the window, the runner and the retry policy of the experiments."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from harness.naps import nap
from modeldiff_core.store import StoreSettings
from modeldiff_platform.flows.request import RunnerConfig
from modeldiff_platform.flows.runners import Call, open_runner
from modeldiff_platform.flows.runners.window import run_window
from modeldiff_platform.tasks.policy import RETRIES
from modeldiff_platform.tasks.worker_pool import run_stage

WITHIN = 60.0
"""Seconds after the end in which all task runs should be recorded."""


@task(name="shard", task_run_name="shard {index}", tags=["shard"], **RETRIES)
def shard(index: int, seconds: float, folder: str, once: int, always: tuple[int, ...]) -> dict[str, Any]:
    """Run one shard of the fan-out."""
    return run_stage(nap, index, seconds, folder, once, always)


@dataclass
class FanOut:
    """A fan-out and its outcome.

    Attributes:
        indices: Numbers of its shards.
        seconds: Seconds that a shard sleeps.
        folder: Where attempts are noted.
        runner: How shards are run.
        once: Every `once`-th shard fails at its first attempt; 0 for none.
        always: Shards that fail as long as their file exists.
        results: What each shard gave, by name.
        failures: Errors of the others, by name.
        flow_run: Id of its flow run, once it has run.
    """

    indices: list[int]
    seconds: float
    folder: str
    runner: RunnerConfig = field(default_factory=lambda: RunnerConfig(workers=2))
    once: int = 0
    always: tuple[int, ...] = ()
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    flow_run: str = ""

    def run(self) -> "FanOut":
        """Send all tasks through a flow."""
        fan_out(self)
        return self

    @property
    def span(self) -> float:
        """Seconds from the first shard's start to the last one's end."""
        spans = self.results.values()
        return max(one["ended"] for one in spans) - min(one["began"] for one in spans)

    @property
    def busy(self) -> float:
        """Share of the slots' time that is work."""
        work = sum(one["ended"] - one["began"] for one in self.results.values())
        return work / self.span / len(self.runner.slots())

    @property
    def overhead(self) -> float:
        """Seconds of a slot's time that a shard takes beyond its work."""
        return self.span * len(self.runner.slots()) / len(self.indices) - self.seconds


@flow(name="fan out", validate_parameters=False)
def fan_out(plan: FanOut) -> None:
    """Run every shard of a plan, and store the outcome in it."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    plan.flow_run = str(context.flow_run.id)
    calls = (
        Call(
            f"shard {index}",
            shard,
            {"index": index, "seconds": plan.seconds, "folder": plan.folder, "once": plan.once, "always": plan.always},
        )
        for index in plan.indices
    )

    def keep(call: Call, result: dict[str, Any]) -> None:
        plan.results[call.name] = result
        if (done := len(plan.results)) % max(1, len(plan.indices) // 20) == 0:
            print(f"{done} of {len(plan.indices)} shards", file=sys.stderr, flush=True)

    with open_runner(plan.runner, StoreSettings(plan.folder)) as runner:
        plan.failures = run_window(calls, runner, keep)


def recorded(flow_run: str, wanted: int, within: float = WITHIN) -> tuple[int, float]:
    """Wait for `wanted` task runs in a final state; return how many the API shows, and after how many seconds."""
    body = {
        "flow_runs": {"id": {"any_": [flow_run]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED"]}}},
    }
    began = time.monotonic()
    with get_client(sync_client=True) as client:
        while True:
            count = int(client.request("POST", "/task_runs/count", json=body).json())
            passed = time.monotonic() - began
            if count >= wanted or passed > within:
                return count, passed
            time.sleep(0.5)
