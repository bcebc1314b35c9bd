"""The flow of a comparison: plan, train what is missing, regress, compare, test transformations, report."""

from collections.abc import Iterable
from typing import Any

from prefect import flow, get_run_logger, tags

from flows.artifacts import publish
from flows.compose import Request, RunnerConfig
from flows.progress import StageProgress
from flows.resolve import check_shards, resolve
from flows.runners import Call, Runner, open_runner
from flows.window import Outcome, run_window
from modeldiff_core.errors import ModelDiffError
from modeldiff_core.identity import plain
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.consolidate import matrix_reference
from modeldiff_core.stages.inventory import ShardSet, shard_sets
from modeldiff_core.stages.references import Reference
from modeldiff_core.stages.score import score_reference
from modeldiff_core.store import ObjectStore, StoreSettings, read_record, write_record
from modeldiff_core.study import StudyConfig
from tasks import datamodels, directions, effects, matrices, probe, report, train
from tasks.policy import fresh, result_storage

REPAIRS = 3
"""Rounds of training shards again that turned out damaged when they were gathered."""


class RunFailed(ModelDiffError):
    """Some tasks failed for good; names them and says how to go on."""


def run_comparison(study: StudyConfig, store: StoreSettings, runner: RunnerConfig) -> dict[str, Any]:
    """Run the flow with its results beside the study's own objects."""
    configured = compare.with_options(result_storage=result_storage(store))
    with tags(study.name, study.algorithm_a.name, study.algorithm_b.name):
        result: dict[str, Any] = configured(study=study, store=store, runner=runner)
    return result


@flow(name="compare", flow_run_name="compare {study.name}", result_serializer="json", persist_result=True)
def compare(study: StudyConfig, store: StoreSettings, runner: RunnerConfig) -> dict[str, Any]:
    """Compare two learning algorithms from training to report; gives the summary's place and findings."""
    comparison, warnings = resolve(Request(study, store, runner))
    logger = get_run_logger()
    for warning in warnings:
        logger.warning(warning)
    with open_runner(runner, store) as places:
        run = _Run(comparison, store, places, runner)
        run.train()
        run.consolidate()
        run.analyse()
        result = run.report()
    publish(comparison, run.objects, result)
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
        for _ in range(REPAIRS):
            calls = []
            for label, training in zip("ab", self.comparison.trainings, strict=True):
                if not matrix_reference(training, self.study.subsets.models).complete(self.objects):
                    arguments = {
                        "label": self._label(label), "store": self.store, "training": training.to_json(),
                        "models": self.study.subsets.models,
                    }  # fmt: skip
                    calls.append(Call(label, matrices.consolidate_matrix, arguments))
            if not calls:
                return
            with StageProgress("matrices", "gathering margins", len(calls)) as progress:
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
        comparison = self.comparison
        blocks: list[Call] = []
        for label, training in zip("ab", comparison.trainings, strict=True):
            for half, part in ((None, "all models"), (0, "even models"), (1, "odd models")):
                fit = comparison.regression(training, half)
                if fit.reference.complete(self.objects):
                    continue
                words = f"{self._label(label)} {part}"
                for start, stop in fit.blocks:
                    arguments = {
                        "label": words, "store": self.store, "regression": fit.to_json(), "start": start, "stop": stop,
                    }  # fmt: skip
                    blocks.append(Call(f"{words} {start}-{stop}", datamodels.regress, arguments))
        measured = list(self._effect_calls())
        with StageProgress("datamodels", "datamodels and effects", len(blocks) + len(measured)) as progress:
            self._run([*blocks, *measured], progress)
        later = list(self._finish_calls())
        with StageProgress("records", "completing datamodels", len(later)) as progress:
            self._run(later, progress)
        judged = [*self._score_calls(), *self._direction_calls()]
        with StageProgress("directions", "directions and null", len(judged)) as progress:
            self._run(judged, progress)

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

    def _finish_calls(self) -> Iterable[Call]:
        for regression in self.comparison.regressions():
            key = regression.reference.key
            arguments = {"label": key.rsplit("/", 1)[-1], "store": self.store, "regression": regression.to_json()}
            yield self._cached(key, datamodels.finish_datamodels, regression.reference, arguments)

    def _score_calls(self) -> Iterable[Call]:
        models = self.study.ensemble.models
        for label, training in zip("ab", self.comparison.trainings, strict=True):
            fit = self.comparison.regression(training, None)
            arguments = {
                "label": self._label(label), "store": self.store, "training": training.to_json(),
                "regression": fit.to_json(), "ensemble_models": models,
            }  # fmt: skip
            reference = score_reference(training, fit, models)
            yield self._cached(f"{label} score", datamodels.score_datamodels, reference, arguments)

    def _direction_calls(self) -> Iterable[Call]:
        pair = self.comparison.pair
        arguments = {"store": self.store, "pair": pair.to_json()}
        yield self._cached("directions", directions.find_directions, pair.directions, arguments)
        for block in self.comparison.null_blocks:
            where = pair.null_block(block)
            yield self._cached(f"null block {block}", directions.null_block, where, {**arguments, "block": block})

    def _cached(self, name: str, task: Any, reference: Reference, arguments: dict[str, Any]) -> Call:
        return Call(name, fresh(task, reference, self.objects), {"reference": reference.to_json(), **arguments})

    def _run(self, calls: Iterable[Call], progress: StageProgress) -> Outcome:
        outcome = run_window(calls, self.places, lambda call: progress.advance(call.units))
        if outcome.failures:
            lines = "\n".join(f"  {name}: {why}" for name, why in outcome.failures.items())
            raise RunFailed(f"{len(outcome.failures)} tasks of {self.study.name} failed:\n{lines}")
        return outcome

    def _label(self, which: str) -> str:
        return f"{self.study.name} {self.names[which]}"


def _json(settings: StoreSettings) -> dict[str, Any]:
    content = plain(settings)
    assert isinstance(content, dict)
    return content
