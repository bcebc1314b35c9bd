"""The flow of a comparison: plan, train what is missing, regress, compare, test transformations, report."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product
from typing import Any, cast

from prefect import flow, get_run_logger, tags
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled

from flows.prefect_api.artifacts import publish
from flows.prefect_api.cancelling import stopped_when_cancelled
from flows.prefect_api.deployed import check_cluster
from flows.prefect_api.patience import patiently
from flows.prefect_api.progress import StageProgress
from flows.prefect_api.server import note_run
from flows.request import Request, RunnerConfig
from flows.resolve import check_shards, resolve
from flows.runners import Call, Runner, open_runner
from flows.runners.turns import turns_on_gpus
from flows.runners.window import Outcome, RunFailed, run_window
from modeldiff_core.datamodels import FromMasks
from modeldiff_core.identity import plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import matrix_reference
from modeldiff_core.stages.curve import Curve
from modeldiff_core.stages.findings import descriptions, significant_entries
from modeldiff_core.stages.gram import fits_store, gram_reference
from modeldiff_core.stages.inventory import ShardSet, shard_sets
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.regression import Regression
from modeldiff_core.stages.rounds import current_round, ending
from modeldiff_core.stages.score import score_reference
from modeldiff_core.stages.search import BOTH, Search, searches
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings, read_record, write_record
from modeldiff_core.study import StudyConfig
from tasks import curve, datamodels, directions, effects, matrices, probe, report, search, train
from tasks.policy import fresh, result_storage

REPAIRS = 3
"""Rounds of training shards again that turned out damaged when they were gathered."""


def run_comparison(study: StudyConfig, store: StoreSettings, runner: RunnerConfig) -> dict[str, Any]:
    """Run the flow of a comparison from this process; raises CancelledRun if that is what became of it.

    Prefect's results lie beside the study's own objects.
    """
    configured = compare.with_options(result_storage=result_storage(store))
    with tags(study.name, study.algorithm_a.name, study.algorithm_b.name):
        return cast(dict[str, Any], configured(study=study, store=store, runner=runner))


@flow(
    name="compare",
    flow_run_name="compare {study.name}",
    result_serializer="json",
    persist_result=True,
    on_running=[note_run],
)
def compare(study: StudyConfig, store: StoreSettings, runner: RunnerConfig) -> "dict[str, Any] | State[Any]":
    """Compare two learning algorithms from training to report; gives the summary's place and findings."""
    # The flow goes to Dask's workers with its annotations, and a class State[Any], which pydantic makes, cannot be
    # unpickled there: hence the quotes.
    check_cluster(runner)
    comparison, warnings = resolve(Request(study, store, runner))
    logger = get_run_logger()
    for warning in warnings:
        logger.warning(warning)
    try:
        with stopped_when_cancelled(), turns_on_gpus(runner.devices), open_runner(runner, store) as places:
            while not (now := current_round(ObjectStore(store), comparison)).last:
                step = _Run(now.comparison, store, places, runner)
                step.train()
                step.follow()
            if study.subsets.adaptive:
                said = ending(study.subsets, now.comparison.study.subsets.models)
                logger.info(said)
                print(f"{study.name}: {said}", flush=True)
            run = _Run(now.comparison, store, places, runner)
            run.train()
            run.consolidate()
            run.follow()
            run.analyse()
            run.search()
            result = run.report()
    except CancelledRun as error:
        return Cancelled(message=str(error))
    patiently(partial(publish, now.comparison, run.objects, result))
    return result


class _Run:
    """One pass over the stages of a comparison; what is complete in the store is not computed again."""

    def __init__(self, comparison: Comparison, store: StoreSettings, places: Runner, runner: RunnerConfig) -> None:
        self.places, self.runner = places, runner
        self.comparison = comparison
        self.study = comparison.study
        self.store: dict[str, Any] = _json(store)
        self.objects = ObjectStore(store)
        self.names = {"a": comparison.study.algorithm_a.name, "b": comparison.study.algorithm_b.name}
        self.logger = get_run_logger()

    def train(self) -> None:
        """Train the shards that the store lacks; raises RunFailed that lists those that could not be."""
        sets = shard_sets(self.objects, self.comparison)
        check_shards(sets, self.runner)
        for training in self.comparison.trainings:
            if not self.objects.exists(f"{training.prefix}/training.json"):
                write_record(self.objects, f"{training.prefix}/training.json", training.record())
        total = sum(s.wanted * s.models_in_shard for s in sets)
        before = sum(len(s.done) * s.models_in_shard for s in sets)
        done, wanted = sum(len(s.done) for s in sets), sum(s.wanted for s in sets)
        self.logger.info("%d of %d shards done before, %d to train", done, wanted, wanted - done)
        print(f"{self.study.name}: {done} of {wanted} shards done before, {wanted - done} to train", flush=True)
        if self.runner.tune and done < wanted:
            self._probe([s for s in sets if s.missing])
        if done < wanted:
            with StageProgress("training", "training", total, before, "models") as progress:
                self._run([self._shard(s, index) for s in sets for index in s.missing], progress)

    def consolidate(self) -> None:
        """Gather the shards of each algorithm; shards that turn out damaged are trained again."""
        models = self.study.subsets.models

        def lacking() -> Iterable[Call]:
            for label, training in zip("ab", self.comparison.trainings, strict=True):
                if not matrix_reference(training, models).complete(self.objects):
                    arguments = {
                        "label": self._label(label), "store": self.store, "training": training.to_json(),
                        "models": models,
                    }  # fmt: skip
                    yield Call(label, matrices.consolidate_matrix, arguments)

        self._gather("matrices", "gathering margins", lacking)

    def follow(self) -> None:
        """Take the learning curve of each algorithm as far as its models go."""
        models = self.study.subsets.models

        def lacking() -> Iterable[Call]:
            for label, training in zip("ab", self.comparison.trainings, strict=True):
                followed = Curve.of(self.study, training)
                if not followed.complete(self.objects, models):
                    arguments = {
                        "label": self._label(label), "store": self.store, "curve": followed.to_json(),
                        "budget": models,
                    }  # fmt: skip
                    yield Call(label, curve.learning_curve, arguments)

        self._gather("curve", "learning curves", lacking)

    def _gather(self, key: str, words: str, lacking: Callable[[], Iterable[Call]]) -> None:
        """Run what is lacking of each algorithm's shards; those that turn out damaged are trained again."""
        for _ in range(REPAIRS):
            calls = list(lacking())
            if not calls:
                return
            with StageProgress(key, words, len(calls)) as progress:
                outcome = self._run(calls, progress)
            damaged = {label: result["damaged"] for label, result in outcome.results.items() if result["damaged"]}
            if not damaged:
                return
            for label, shards in damaged.items():
                for index, why in shards.items():
                    self.logger.warning("%s: shard %s is trained again: %s", self.names[label], index, why)
                    print(f"shard {index} of {self.names[label]} is trained again: {why}", flush=True)
            self.train()
        raise RunFailed(f"shards were found damaged {REPAIRS} times in a row: {damaged}")

    def analyse(self) -> None:
        """Regress, score, find directions and their null, and measure effects; each as soon as it can be."""
        missing = {
            f"{self._label(label)} {name}": fit
            for (label, name), fit in self.comparison.regressions().items()
            if not fit.reference.complete(self.objects)
        }
        counting = list(self._count_calls(missing))
        if counting:
            with StageProgress("masks", "counting masks", len(counting)) as progress:
                self._run(counting, progress)
        blocks = [
            Call(
                f"{words} {start}-{stop}", datamodels.regress,
                {"label": words, "store": self.store, "regression": fit.to_json(), "start": start, "stop": stop},
            )
            for words, fit in missing.items() for start, stop in fit.blocks
        ]  # fmt: skip
        measured = list(self._effect_calls())
        with StageProgress("datamodels", "datamodels and effects", len(blocks) + len(measured)) as progress:
            self._run([*blocks, *measured], progress)
        later = list(self._finish_calls())
        with StageProgress("records", "completing datamodels", len(later)) as progress:
            self._run(later, progress)
        judged = [*self._score_calls(), *self._direction_calls()]
        with StageProgress("directions", "directions and null", len(judged)) as progress:
            self._run(judged, progress)

    def search(self) -> None:
        """Describe the ends of significant directions and search for transformations along them."""
        entries = significant_entries(self.objects, self.comparison)
        along = searches(self.study, self.comparison.trainings, self.comparison.pair, entries)
        first = [*self._description_calls(entries), *self._proposal_calls(along)]
        if not first:
            return
        with StageProgress("search", "subpopulations and search", len(first) + 4 * len(along)) as progress:
            self._run(first, progress)
            self._run(self._search_calls(along, "rank", search.rank), progress)
            self._run(self._search_calls(along, "confirm", search.confirm), progress)

    def report(self) -> dict[str, Any]:
        """Write the summary and the report; gives their places and the findings."""
        arguments = {"label": self.study.name, "store": self.store, "study": self.study.model_dump(mode="json")}
        summary, page = self.comparison.summary, self.comparison.report
        with StageProgress("report", "report", 2) as progress:
            self._run([self._cached("summary", report.write_summary, summary, arguments)], progress)
            self._run([self._cached("report", report.write_report, page, arguments)], progress)
        findings = read_record(self.objects, summary.record)["findings"]
        return {"summary": summary.record, "url": self.objects.url(page.record), "findings": findings}

    def _probe(self, sets: list[ShardSet]) -> None:
        """Measure how to train each kind of shard, one after the other so that they do not disturb each other.

        Devices then get as many processes as suit the kind that takes longest.
        """
        longest, processes = 0.0, 1
        with StageProgress("probe", "measuring", len(sets), unit="probes") as progress:
            for shards in sets:
                label = self._label(shards.label)
                arguments = {
                    "label": label, "kind": shards.kind, "store": self.store, "training": shards.training.to_json(),
                    "execution": self.runner.execution(),
                }  # fmt: skip
                name = f"{label} {shards.kind} probe"
                found = self._run([Call(name, probe.probe, arguments)], progress).results[name]
                seconds = found["seconds_a_model"] * len(shards.missing) * shards.models_in_shard
                longest, processes = max((longest, processes), (seconds, found["processes"]))
        self.places.widen(processes)

    def _shard(self, shards: ShardSet, index: int) -> Call:
        label = self._label(shards.label)
        arguments = {
            "label": label, "kind": shards.kind, "store": self.store, "training": shards.training.to_json(),
            "index": index, "execution": self.runner.execution(), "limit": self.runner.shard_timeout_s,
        }  # fmt: skip
        return Call(f"{label} {shards.kind} shard {index}", train.train_shard, arguments, shards.models_in_shard)

    def _effect_calls(self) -> Iterable[Call]:
        calls = []
        for pair in self.comparison.effects():
            for label, effect in zip("ab", pair, strict=True):
                name = f"{self._label(label)} effect of {effect.test.name}"
                arguments = {"label": name, "store": self.store, "effect": effect.to_json(),
                             "execution": self.runner.execution()}  # fmt: skip
                calls.append(self._cached(name, effects.measure_effect, effect.reference, arguments))
        return calls

    def _count_calls(self, regressions: Mapping[str, Regression]) -> Iterable[Call]:
        """The masks of these regressions, each once, whichever algorithms and estimators share them."""
        calls: dict[str, Call] = {}
        for words, fit in regressions.items():
            if isinstance(fit.estimator, FromMasks) and fit.estimator.uses_counts:
                matrix = MarginMatrix.open(self.objects, fit.matrix.key)
                where = gram_reference(matrix, fit.first, fit.half)
                arguments = {"label": words, "store": self.store, "regression": fit.to_json()}
                if where.record not in calls and fits_store(matrix):
                    calls[where.record] = self._cached(words, datamodels.count_masks, where, arguments)
        return calls.values()

    def _finish_calls(self) -> Iterable[Call]:
        for regression in self.comparison.regressions().values():
            key = regression.reference.key
            arguments = {"label": key.rsplit("/", 1)[-1], "store": self.store, "regression": regression.to_json()}
            yield self._cached(key, datamodels.finish_datamodels, regression.reference, arguments)

    def _score_calls(self) -> Iterable[Call]:
        models = self.study.ensemble.models
        for (label, kind), (training, fit) in self.comparison.scored().items():
            arguments = {
                "label": f"{self._label(label)} {kind}", "store": self.store, "training": training.to_json(),
                "regression": fit.to_json(), "ensemble_models": models,
            }  # fmt: skip
            reference = score_reference(training, fit, models)
            yield self._cached(f"{label} {kind} score", datamodels.score_datamodels, reference, arguments)

    def _direction_calls(self) -> Iterable[Call]:
        pair = self.comparison.pair
        arguments = {"store": self.store, "pair": pair.to_json()}
        yield self._cached("directions", directions.find_directions, pair.directions, arguments)
        for block in self.comparison.null_blocks:
            where = pair.null_block(block)
            yield self._cached(f"null block {block}", directions.null_block, where, {**arguments, "block": block})

    def _description_calls(self, entries: list[dict[str, Any]]) -> Iterable[Call]:
        for spec in descriptions(self.comparison, entries):
            name = f"{self.study.name} ends of direction {spec.side} {spec.index + 1}"
            arguments = {"label": name, "store": self.store, "description": spec.to_json()}
            yield self._cached(name, search.describe, spec.reference, arguments)

    def _proposal_calls(self, along: list[Search]) -> Iterable[Call]:
        for spec in along:
            name = f"{self.study.name} candidates along {spec.side} {spec.index + 1}"
            arguments = {"label": name, "store": self.store, "search_spec": spec.to_json()}
            yield self._cached(name, search.propose, spec.proposed, arguments)

    def _search_calls(self, along: list[Search], verb: str, task: Any) -> Iterable[Call]:
        """Ranking or confirmation along each direction, on A and on B."""
        for spec, which in product(along, BOTH):
            name = f"{self._label(which)} {verb} along {spec.side} {spec.index + 1}"
            reference = spec.candidates(which) if verb == "rank" else spec.finalists(which)
            arguments = {"label": name, "store": self.store, "search_spec": spec.to_json(), "which": which,
                         "execution": self.runner.execution()}  # fmt: skip
            yield self._cached(name, task, reference, arguments)

    def _cached(self, name: str, task: Any, reference: Reference, arguments: dict[str, Any]) -> Call:
        return Call(name, fresh(task, reference, self.objects), {"reference": reference.to_json(), **arguments})

    def _run(self, calls: Iterable[Call], progress: StageProgress) -> Outcome:
        return run_window(calls, self.places, lambda call: progress.advance(call.units)).succeeded(self.study.name)

    def _label(self, which: str) -> str:
        return f"{self.study.name} {self.names[which]}"


def _json(settings: StoreSettings) -> dict[str, Any]:
    content = plain(settings)
    assert isinstance(content, dict)
    return content
