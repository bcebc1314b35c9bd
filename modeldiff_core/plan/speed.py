"""How fast a comparison is trained, from the times at which the store's shards were written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeldiff_core.stages.inventory import ShardSet
from modeldiff_core.store import Listed, shard_key

RECENT = 40
"""Most shards that a pace is taken from."""
PAUSE_SHARDS, PAUSE_SECONDS = 5, 30.0
"""A pause between runs is longer than so many mean distances between shards and so many seconds."""


@dataclass(frozen=True)
class Pace:
    """models_a_minute: of the shards since the last pause. seconds_left: until all models wanted are trained.

    silent: seconds since the last shard. paused: that is so long that nothing seems to be training.
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


def pace(sets: Sequence[ShardSet], listed: Mapping[str, Listed], now: float) -> Pace | None:
    """The pace of the latest shards; None before two of them, after the last, or where no times are told.

    listed: all trainings as a listing tells them. now: Unix time in seconds.
    """
    own = {(one.training.prefix, one.kind): one for one in sets}.values()  # A and B may be the same training
    left = sum(len(one.missing) * one.models_in_shard for one in own)
    written = sorted(_written(own, listed), reverse=True)[: RECENT + 1]
    if not left or len(written) < 2:
        return None
    times = [when for when, _ in written]
    spell = 2
    while spell < len(times) and times[spell - 1] - times[spell] <= _pause(times[:spell]):
        spell += 1
    span = times[0] - times[spell - 1]
    if span <= 0:
        return None
    rate = sum(models for _, models in written[: spell - 1]) / span
    silent = max(0.0, now - times[0])  # the store's clock may be ahead of this machine's
    return Pace(60 * rate, left / rate, silent, silent > _pause(times[:spell]))


def _pause(times: Sequence[float]) -> float:
    """Seconds without a shard after which a run has paused; times: of at least two shards, latest first."""
    return max(PAUSE_SECONDS, PAUSE_SHARDS * (times[0] - times[-1]) / (len(times) - 1))


def _written(sets: Iterable[ShardSet], listed: Mapping[str, Listed]) -> Iterable[tuple[float, int]]:
    """When each shard was written, and its models."""
    for one in sets:
        folder = one.training.subsets if one.kind == "subsets" else one.training.ensemble
        for index in one.done:
            when = listed[shard_key(folder, index)].written
            if when is not None:
                yield when, one.models_in_shard
