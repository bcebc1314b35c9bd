"""What the flows know of a runner, and what they hand to it."""

from dataclasses import dataclass
from typing import Any, Protocol

from prefect.futures import PrefectFuture
from prefect.tasks import Task


@dataclass(frozen=True)
class Call:
    """A task and its arguments; `name` is for people, `units` counts toward the progress."""

    name: str
    task: Task[Any, Any]
    arguments: dict[str, Any]
    units: int = 1

    @property
    def on_device(self) -> bool:
        """Whether the task computes on a device, and so takes an Execution."""
        return "execution" in self.arguments


class Runner(Protocol):
    """Runs tasks somewhere; the same call gives the same numbers wherever that is."""

    @property
    def places(self) -> int:
        """Tasks that work at the same time."""
        ...

    def submit(self, call: Call) -> PrefectFuture[Any]:
        """Begin a task, or let it wait for a place."""
        ...

    def widen(self, processes: int) -> None:
        """Give each device this many processes, where a device may have several."""
        ...
