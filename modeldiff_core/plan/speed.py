"""How fast models are trained, from the times at which the store's shards were written."""

from collections.abc import Sequence
from dataclasses import dataclass

from modeldiff_core.plan.audit import Survey

RECENT = 40
"""Most shards that a pace is taken from."""
PAUSE_SHARDS, PAUSE_SECONDS = 5, 30.0
"""A pause between runs is longer than this many mean distances between shards and this many seconds."""


@dataclass(frozen=True)
class Pace:
    """The pace of training.

    models_a_minute: since the last pause. seconds_left: until all models wanted are trained. silent: seconds since the
    last shard. paused: whether that is so long that nothing seems to be training.
    """

    models_a_minute: float
    seconds_left: float
    silent: float
    paused: bool

    def __str__(self) -> str:
        rate = f"{self.models_a_minute:.0f} models a minute"
        if self.paused:
            return f"nothing seems to be training: last shard {self.silent:.0f} s ago, at {rate} before"
        return f"{rate}, about {self.seconds_left:.0f} s left; last shard {self.silent:.0f} s ago"


def pace(found: Survey, now: float) -> Pace | None:
    """Return the pace of the latest shards; None before two of them, after the last, or where no times are known.

    Args:
        found: The steps and the listing; shards are the steps that Prefect does not keep as cached runs.
        now: Unix time in seconds.

    """
    many = [known for known in found.steps if known.step.label.unit == "models" and known.step.cost.units]
    left = sum(known.step.cost.units for known in many if known.state == "missing")
    done = ((found.keys.about(known.step.reference.record), known.step.cost.units) for known in many)
    times = [(listed.written, units) for listed, units in done if listed is not None and listed.written is not None]
    written = sorted(times, reverse=True)[: RECENT + 1]
    if not left or len(written) < 2:
        return None
    moments = [when for when, _ in written]
    spell = 2
    while spell < len(moments) and moments[spell - 1] - moments[spell] <= _pause(moments[:spell]):
        spell += 1
    span = moments[0] - moments[spell - 1]
    if span <= 0:
        return None
    rate = sum(models for _, models in written[: spell - 1]) / span
    silent = max(0.0, now - moments[0])  # the store's clock may be ahead of this machine's
    return Pace(60 * rate, left / rate, silent, silent > _pause(moments[:spell]))


def _pause(times: Sequence[float]) -> float:
    """Seconds without a shard after which a run has paused; times: of at least two shards, latest first."""
    return max(PAUSE_SECONDS, PAUSE_SHARDS * (times[0] - times[-1]) / (len(times) - 1))
