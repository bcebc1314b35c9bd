"""The waves of regressions: masks are counted, blocks of targets fitted, and records written."""

from collections.abc import Iterable, Iterator, Mapping

from modeldiff_core.plan import Label, Step, Wave, later
from modeldiff_core.stages.gram import gram_steps
from modeldiff_core.stages.metagradients import row_steps
from modeldiff_core.stages.regress import block_steps, record_steps
from modeldiff_core.stages.regression import Regression
from modeldiff_core.store import ObjectStore

TAGS = ("datamodels",)


def datamodel_waves(
    store: ObjectStore, fits: Mapping[str, Regression], study: str, others: Iterable[Step] = ()
) -> Iterator[Wave]:
    """Yield the waves of some regressions.

    Args:
        store: The store that holds their matrices.
        fits: Regressions by what a person would call them, each beginning with the study's name.
        study: That name.
        others: Steps that can be done at the same time as the blocks.

    """
    priors = {f"{words} prior": fit.prior for words, fit in fits.items() if fit.prior is not None}
    if priors:
        yield from datamodel_waves(store, priors, study)
    counted, fitted = Label("masks counted", "count masks", TAGS), Label("blocks of datamodels", "regress", TAGS)
    yield later("counting masks", "the margins are gathered", lambda: gram_steps(store, fits, counted))
    derived = row_steps(fits, Label("metagradients", "differentiate", TAGS))
    if derived:
        yield Wave("metagradients", derived)
    beside = tuple(others)
    yield Wave("datamodels and effects" if beside else "datamodels", (*block_steps(fits, fitted), *beside))
    records: list[Step] = []
    for words, fit in fits.items():
        label = Label(f"{words.removeprefix(f'{study} ')}: datamodels", "finish datamodels", TAGS)
        records += record_steps({words: fit}, label)
    yield Wave("completing datamodels", tuple(records))
