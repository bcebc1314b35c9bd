"""The experiment ``league``: every pair of several algorithms, on shared models, and an overview of all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel

from modeldiff_core.errors import ConfigError, DamagedObject
from modeldiff_core.experiments.compare.experiment import FAILED_BY_VERDICT, Compare
from modeldiff_core.experiments.experiment import Shown, Table
from modeldiff_core.experiments.league.overview import algorithm_entries, least_draws, overview
from modeldiff_core.experiments.league.page import league_page
from modeldiff_core.experiments.league.sentences import sentences
from modeldiff_core.experiments.league.settings import LeagueStudy, in_league
from modeldiff_core.experiments.reported import Content, Reported
from modeldiff_core.experiments.together import waves_together
from modeldiff_core.identity import digest
from modeldiff_core.plan import Wave, survey
from modeldiff_core.store import ObjectStore, read_record

FOLDER = "leagues"
VERSION = 1
Pair = tuple[str, str]


@dataclass(frozen=True)
class League(Reported):
    """Comparisons of every two of several algorithms, as far as their rounds have come."""

    study: LeagueStudy
    comparisons: tuple[Compare, ...]
    kind: ClassVar[str] = "league"
    settings: ClassVar[type[BaseModel]] = LeagueStudy

    @classmethod
    def of(cls, study: LeagueStudy, store: ObjectStore) -> "League":
        """Resolve every pair; raises ConfigError with the league's keys."""
        found = []
        for a, b in study.pairs:
            pair = study.pair(a, b)
            try:
                found.append(Compare.of(pair, store))
            except ConfigError as error:
                raise in_league(error, a, b) from error
        return cls(study, tuple(found))

    @cached_property
    def pairs(self) -> dict[Pair, Compare]:
        """The comparison of each pair, by short names."""
        return dict(zip(self.study.pairs, self.comparisons, strict=True))

    @property
    def names(self) -> dict[str, str]:
        """What people call the algorithms, by short name."""
        return {name: algorithm.name for name, algorithm in self.study.algorithms.items()}

    @property
    def tags(self) -> tuple[str, ...]:
        return self.name, self.kind, *self.names.values()

    @property
    def digest(self) -> str:
        settings = self.study.comparison.significance, self.study.verdict.margin
        pairs = {"-".join(pair): one.digest for pair, one in self.pairs.items()}
        return digest({"version": VERSION, "pairs": pairs, "level": settings[0], "margin": settings[1]})

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.name}-{self.digest[:8]}"

    @property
    def folders(self) -> tuple[str, ...]:
        return (*dict.fromkeys(folder for one in self.comparisons for folder in one.folders), self.folder)

    @property
    def shared(self) -> tuple[str, ...]:
        return (*dict.fromkeys(folder for one in self.comparisons for folder in one.shared), FOLDER)

    def check(self) -> list[str]:
        """Return the warnings of all pairs, each once; raises ConfigError for a league that cannot give a result."""
        self._check_settings()
        warnings: dict[str, None] = {}
        for (a, b), one in self.pairs.items():
            try:
                self._check_apart(a, b, one)
                warnings |= dict.fromkeys(one.check())
            except ConfigError as error:
                raise in_league(error, a, b) from error
        return list(warnings)

    def _check_settings(self) -> None:
        settings, pairs = self.study.comparison, len(self.comparisons)
        if settings.method != "contrast":
            hint = "Pairs are told apart by the p of one contrast each"
            raise ConfigError("comparison.method", "contrast, in a league", settings.method, hint)
        if self.study.verdict.probability:
            hint = "Only verdict.margin is held over all pairs"
            raise ConfigError("verdict.probability", "0, in a league", self.study.verdict.probability, hint)
        least = least_draws(pairs, settings.significance)
        if 0 < settings.draws < least:
            hint = f"Over {pairs} pairs no smaller null gives an adjusted p of {settings.significance:g}"
            raise ConfigError("comparison.draws", f"{least} or more", settings.draws, hint)

    def _check_apart(self, a: str, b: str, one: Compare) -> None:
        first, second = one.comparison.trainings
        if first.digest == second.digest:
            hint = f"Its models are those of {a}, to the last bit; give it another seed to compare chance alone"
            raise ConfigError(f"algorithms.{b}", f"another algorithm or seed than {a}'s", second.algorithm.name, hint)

    def now(self, store: ObjectStore) -> "League":
        return type(self)(self.study, tuple(one.now(store) for one in self.comparisons))

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        """Yield the waves of all pairs side by side, then the overview."""
        words = [f"{a} against {b}" for a, b in self.pairs]
        yield from waves_together(list(zip(words, self.comparisons, strict=True)), store, "league")
        settled = self.now(store)
        yield from settled.ending(tuple(one.summary for one in settled.comparisons))

    def advice(self, store: ObjectStore) -> list[str]:
        return list(dict.fromkeys(line for one in self.comparisons for line in one.advice(store)))

    def exit_code(self, store: ObjectStore) -> int:
        fail_on = self.study.verdict.fail_on
        answers = {entry["answer"] for entry in read_record(store, self.now(store).summary.record)["pairs"]}
        return FAILED_BY_VERDICT if answers & set(fail_on) else 0

    def conclude(self, store: ObjectStore) -> tuple[dict[str, Any], dict[str, Content]]:
        """Return the overview from the summaries of all pairs."""
        settings, settled = self.study.comparison, self.now(store)
        summaries = {pair: read_record(store, one.summary.record) for pair, one in settled.pairs.items()}
        entries = overview(summaries, settings.significance, self.study.verdict.margin)
        for entry in entries:
            entry["report"] = settled.pairs[entry["a"], entry["b"]].report.record
        return {
            "digest": self.digest,
            "study": self.name,
            "level": settings.significance,
            "margin": self.study.verdict.margin,
            "algorithms": algorithm_entries(list(self.study.algorithms), summaries),
            "pairs": entries,
            "findings": list(sentences(entries, self.names, settings.significance, self.study.subsets.models)),
        }, {}

    def pages(self, store: ObjectStore) -> Mapping[str, bytes]:
        summary = read_record(store, self.summary.record)
        return league_page(summary, self.names, self.folder, self.study.model_dump(mode="json"), self.inventories())

    def redraw(self, store: ObjectStore) -> None:
        """Write the summaries and reports of all pairs again, then the overview."""
        for one in self.comparisons:
            one.redraw(store)
        super().redraw(store)

    def refresh(self, store: ObjectStore) -> bool:
        drawn = [one.refresh(store) for one in self.comparisons]
        if any(drawn):
            super().redraw(store)
        return super().refresh(store) or any(drawn)

    def row(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a sweep's table: how many pairs differ."""
        answers = [entry["answer"] for entry in summary["pairs"]]
        return {"pairs": len(answers), "pairs that differ": answers.count("different")}

    def shown(self, store: ObjectStore) -> Shown:
        settled = self.now(store)
        summary = read_record(store, settled.summary.record)
        rows = [pair_row(entry, self.names) for entry in summary["pairs"]]
        links = {"Report": store.url(settled.report.record)}
        links |= {pair_words(entry, self.names): store.url(entry["report"]) for entry in summary["pairs"]}
        table = Table("pairs", rows, "Every pair, the largest difference beyond noise first")
        return Shown(self._title, tuple(summary["findings"]), (table,), links=links)

    def so_far(self, store: ObjectStore) -> Shown:
        """Return what each pair that is complete has found, and how much is missing of the others."""
        rows, words = [], []
        for (a, b), one in self.now(store).pairs.items():
            pair = f"{self.names[a]} and {self.names[b]}"
            try:
                summary = read_record(store, one.summary.record)
                said, status = summary["findings"][0], "done"
            except (FileNotFoundError, DamagedObject):
                said, status = "", f"{len(survey(one, store).missing)} results missing"
            rows.append({"pair": pair, "status": status, "finding": said})
            words.append(f"{pair}: {said or status}")
        return Shown(self._title, tuple(words), (Table("pairs", rows, "What each pair has come to"),))

    @property
    def _title(self) -> str:
        return f"{self.name}: {len(self.study.algorithms)} algorithms, {len(self.comparisons)} pairs"


def pair_words(entry: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return what people call a pair."""
    return f"{names[entry['a']]} against {names[entry['b']]}"


def pair_row(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a pair as a row of the table of all."""
    total = entry["total"]
    ends = "" if total["low"] is None else f" [{100 * total['low']:.1f}, {100 * total['high']:.1f}]"
    return {
        "pair": pair_words(entry, names),
        "verdict": entry["answer"],
        "all that differs, % of a datamodel": f"{100 * total['value']:.1f}{ends}",
        "p over all pairs": round(entry["p_adjusted"], 4),
        "p alone": round(entry["p"], 4),
        "verdict alone": entry["alone"],
        "similarity": round(entry["similarity"], 3),
        "directions": entry["directions"],
        "distinguishing": ", ".join(entry["confirmed"][:3]) or "none",
    }
