"""Several experiments as one run: their waves side by side, and each result that they share made once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.plan import Step, Wave
from modeldiff_core.store import ObjectStore

Named = tuple[str, Experiment]
"""An experiment, and the words that tell it from the others."""


def waves_together(named: Sequence[Named], store: ObjectStore, title: str) -> Iterator[Wave]:
    """Yield the waves of all experiments side by side, the first of each, then the second, and so on.

    A result that several need is a step of one of them only, since steps are told apart by the record that completes
    them.

    Args:
        named: The experiments.
        store: Where results are.
        title: Of waves that only tell something.

    """
    words = [one for one, _ in named]
    for together in zip_longest(*(experiment.waves(store) for _, experiment in named)):
        waves = [wave for wave in together if wave is not None]
        for note in dict.fromkeys(wave.note for wave in waves if wave.note):
            yield Wave(title, (), note=note)
        first, steps = waves[0], told_apart(words, together)
        if steps:
            yield Wave(first.title, steps, noun=first.noun, verb=first.verb)
        for wave in waves:
            if wave.awaits:
                yield wave


def told_apart(words: Sequence[str], together: Sequence[Wave | None]) -> tuple[Step, ...]:
    """Return the steps of a wave of each experiment, each result once; equal names are told apart by words."""
    found: dict[str, tuple[str, Step]] = {}
    for said, wave in zip(words, together, strict=True):
        for step in wave.steps if wave is not None else ():
            found.setdefault(step.reference.record, (said, step))
    names = Counter(step.name for _, step in found.values())
    return tuple(
        replace(step, name=f"{step.name} ({said})") if names[step.name] > 1 else step for said, step in found.values()
    )
