"""Submissions held back while Prefect's server is behind: past 10,000 waiting events it drops them, and their runs."""

import time
from contextlib import suppress
from typing import Any, Literal

from httpx import HTTPError
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture

from modeldiff_platform.flows.runners.runner import Call, Runner

LOOK_EVERY = 200
"""Submissions between two looks at what the server has recorded."""
MOST_BEHIND = 1200
"""Task runs submitted and not recorded, of all flows of a kind at once; each is three events, more with retries."""
PATIENCE = 120.0
"""Seconds without one more recorded run after which the server is not waited for any longer."""


class PacedRunner:
    """A runner that waits with the next task run until the API shows most of the earlier ones."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.submitted = 0
        self.waiting = True
        self.before = self._recorded() or 0  # of an earlier attempt at the same flow run

    @property
    def places(self) -> int:
        return self.runner.places

    def submit(self, call: Call) -> PrefectFuture[Any]:
        self.submitted += 1
        if self.waiting and self.submitted % LOOK_EVERY == 0:
            self._wait()
        return self.runner.submit(call)

    def widen(self, processes: int) -> None:
        self.runner.widen(processes)

    def _wait(self) -> None:
        most, when = -1, time.monotonic()
        share = MOST_BEHIND // max(1, self._flows() or 1)
        while (recorded := self._recorded()) is not None and self.submitted + self.before - recorded > share:
            if recorded > most:
                most, when = recorded, time.monotonic()
            elif time.monotonic() - when > PATIENCE:
                self.waiting = False
                get_run_logger().warning(
                    "Prefect's server records no more task runs: it shows %d of %d. The run goes on without it.",
                    recorded - self.before,
                    self.submitted,
                )
                return
            time.sleep(0.2)

    def _recorded(self) -> int | None:
        """Task runs of this flow run that the API shows; None if there is no flow run, or no answer."""
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return None
        return _count("/task_runs/count", {"flow_runs": {"id": {"any_": [str(context.flow_run.id)]}}})

    def _flows(self) -> int | None:
        """Runs of this flow at once on the server, whose queue they share; None as above."""
        context = FlowRunContext.get()
        if context is None or context.flow is None:
            return None
        running = {"state": {"type": {"any_": ["RUNNING"]}}}
        return _count("/flow_runs/count", {"flows": {"name": {"any_": [context.flow.name]}}, "flow_runs": running})


def _count(path: Literal["/task_runs/count", "/flow_runs/count"], filters: dict[str, Any]) -> int | None:
    with suppress(HTTPError, PrefectException), get_client(sync_client=True) as client:
        return int(client.request("POST", path, json=filters).json())
    return None
