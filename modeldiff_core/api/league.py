"""More than two training functions from a notebook or a script: every pair on shared models, and an overview."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modeldiff_core.api.algorithm import Algorithm, Train, as_algorithm
from modeldiff_core.api.compare import Store, carry_out, opened
from modeldiff_core.api.data import Data
from modeldiff_core.api.report import Report, StoredReport
from modeldiff_core.api.study import MODELS, Study, merged, slug
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.league.experiment import League, pair_row
from modeldiff_core.experiments.league.overview import least_draws
from modeldiff_core.experiments.league.settings import LeagueStudy
from modeldiff_core.store import ObjectStore

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 199
"""Draws of each null, where nothing is said and they are enough for all pairs."""


class LeagueReport(StoredReport):
    """What the pairs of several algorithms show; `show` prints it.

    Attributes:
        store: Where it is.
        summary: Everything that was found, as summary.json holds it.
        findings: Sentences, the most important first.
        url: The address of the report's first page.

    """

    _experiment: League

    @cached_property
    def pairs(self) -> "pd.DataFrame":
        """A row for each pair, the largest difference beyond noise first, with its verdict over all pairs."""
        import pandas as pd

        return pd.DataFrame([pair_row(entry, self._experiment.names) for entry in self.summary["pairs"]])

    def pair(self, a: str, b: str) -> Report:
        """Return the report of one pair, which is what a comparison of these two alone gives.

        Args:
            a: The short name of an algorithm.
            b: That of another, in either order.

        Raises:
            KeyError: For names that are no pair.

        """
        found = self._experiment.pairs
        return Report(found[(a, b) if (a, b) in found else (b, a)], self.store)


def league(
    algorithms: "Mapping[str, Algorithm | Train] | Sequence[Algorithm | Train]",
    *,
    data: Data,
    models: int = MODELS,
    store: Store,
    **others: Any,
) -> LeagueReport:
    """Compare every two of several training functions and return the overview.

    Each algorithm is trained once, whatever the number of its pairs. A pair is called different if the p of its largest
    difference, adjusted over all pairs by Holm's method, is at most ``comparison.significance``.

    Args:
        algorithms: Training functions or ``Algorithm`` by short names (small letters, digits and _), or a list of them,
            whose short names are made from the names of the functions.
        data: Training and test images.
        models: Subset models of each.
        store: A folder, an fsspec URL, or settings of a store.
        others: As of ``compare``.

    Raises:
        ConfigError: Before anything is trained, for what cannot give a result.
        RunFailed: For shards that failed for good, by name; the rest is in the store.

    """
    ways = {name: others.pop(name) for name in ("workers", "progress", "accept_code") if name in others}
    name = others.pop("name", "")
    place = ObjectStore(opened(store))
    named = _by_name(algorithms)
    experiment = League.of(_study(named, data, models, name, others, place), place)
    carry_out(experiment, place, list(named.values()), **ways)
    return LeagueReport(experiment, place)


def _by_name(given: "Mapping[str, Algorithm | Train] | Sequence[Algorithm | Train]") -> dict[str, Algorithm]:
    """Return algorithms by short name; raises ConfigError for fewer than two, or for two of one name."""
    if isinstance(given, Mapping):
        found = [(name, as_algorithm(one)) for name, one in given.items()]
    else:
        made = [as_algorithm(one) for one in given]
        found = [(slug(one.name or one.described.name.strip("<>"))[:21], one) for one in made]
    named = dict(found)
    if len(named) < len(found):
        twice = next(name for name, _ in found if sum(name == other for other, _ in found) > 1)
        hint = "Give them by names of your own: league({'first': f, 'second': g}, ...)"
        raise ConfigError("algorithms", "algorithms of different names", twice, hint)
    if len(named) < 2:
        raise ConfigError("algorithms", "two or more", len(named))
    return named


def _study(
    named: Mapping[str, Algorithm], data: Data, models: int, name: str, others: Mapping[str, Any], place: ObjectStore
) -> LeagueStudy:
    """Return the study of a league: the settings that a comparison of the first two has, and all algorithms."""
    level = float(dict(others.get("comparison", {})).get("significance", 0.05))
    count = len(named) * (len(named) - 1) // 2
    draws = max(DRAWS, least_draws(count, level))
    settings = merged({"comparison": {"draws": draws}}, others)
    first, second, *_ = named.values()
    base = Study(first, second, data, models, name or "league", settings).config(place)
    form = data.read.form
    content = base.model_dump(mode="json", exclude={"algorithm_a", "algorithm_b"})
    configs = {short: one.config(one.name or short, form).model_dump(mode="json") for short, one in named.items()}
    return LeagueStudy.parse({**content, "algorithms": configs})
