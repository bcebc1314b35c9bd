"""What each verb of the command line does."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from flows.cli.compose import request
from flows.cli.grid import grid
from flows.prefect_api.recorded import recorded
from flows.prefect_api.server import ApiAddress, prefect_api
from flows.request import Request
from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.curve import Curve, read_curve
from modeldiff_core.stages.inventory import ShardSet, held, results, shard_sets, shard_sets_among
from modeldiff_core.stages.pace import pace
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore, StoreSettings

MANY = 1000
"""Shards of which there are many: each is a line in Prefect's UI and some rows in its database."""
MINUTES = 120.0
"""Seconds that a shard may well take where there are many."""


def compare(overrides: Sequence[str]) -> int:
    """Run a comparison, with a private Prefect server unless one is configured."""
    from flows.resolve import check_shards

    asked = request(overrides)
    comparison, store = _comparison(asked)
    check_shards(shard_sets(store, current_round(store, comparison).comparison), asked.runner)
    with recorded() as api:
        print(f"Prefect UI: {api.ui_url}", flush=True)
        from flows.compare import run_comparison

        with _ends(api) as end:
            result = run_comparison(asked.study, asked.store, asked.runner)
        if end.why:
            return _failed(end.why, "compare", overrides)
    for line in result["findings"]:
        print(line)
    print(f"Report: {result['url']}")
    return 0


def sweep(overrides: Sequence[str]) -> int:
    """Run a study over a grid of overrides, one comparison after the other; what is done is not run again."""
    asked = grid(overrides)
    first = asked[0].request
    for point in asked:
        try:
            _comparison(point.request)
        except ConfigError as error:
            words = f"{error.hint} (at {point.words})".strip()
            raise ConfigError(error.key, error.expected, error.got, words) from error
    with recorded() as api:
        print(f"Prefect UI: {api.ui_url}", flush=True)
        from flows.sweep import run_sweep

        with _ends(api) as end:
            result = run_sweep([(point.words, point.request.study) for point in asked], first.store, first.runner)
        if end.why:
            return _failed(end.why, "sweep", overrides)
    print(*result["findings"], sep="\n")
    return 0


def plan(overrides: Sequence[str]) -> int:
    """Say what is done and what is missing, and time a probe of each algorithm whose shards are."""
    asked = request(overrides)
    comparison, store = _comparison(asked)
    print(f"study {asked.study.name}, digest {comparison.digest[:8]}, in {store.settings.url}")
    seconds = 0.0
    places = asked.runner.places
    elsewhere = asked.runner.address is not None
    for shards in shard_sets(store, comparison):
        name = asked.study.algorithm_a.name if shards.label == "a" else asked.study.algorithm_b.name
        models = len(shards.missing) * shards.models_in_shard
        line = f"{name}: {shards.kind}: {len(shards.done)} of {shards.wanted} shards done, {models} models to train"
        if models and not elsewhere:
            from flows.cli.probe import probed

            found = probed(shards.training, shards.kind, asked.runner, asked.store)
            each = found["seconds_a_model"]
            seconds += models * each / len(places)
            line += f", {1000 * each:.1f} ms a model (measured)"
            line += _size_of_shards(shards, each)
            if found["processes"] > 1:
                line += f" with {found['processes']} processes on a device"
        print(line)
    for line in _learned(comparison, store):
        print(line)
    missing = [name for name, reference in results(comparison).items() if not reference.complete(store)]
    print(f"{len(missing)} results to compute after training" + (f": {', '.join(missing[:4])} …" if missing else ""))
    if elsewhere:
        print(f"training time not measured: the workers of {asked.runner.address} are not this machine")
    else:
        print(f"training time about {seconds:.0f} s on {len(places)} {'workers' if places[0] == 'cpu' else 'devices'}")
    return 0


def status(overrides: Sequence[str]) -> int:
    """Say what the store holds, from one listing of each folder that the study uses."""
    asked = request(overrides)
    comparison, store = _stored(asked)
    print(f"study {asked.study.name}, digest {comparison.digest[:8]}, in {store.settings.url}")
    keys = held(store, comparison)
    sets = shard_sets_among(keys, comparison)
    for shards in sets:
        name = asked.study.algorithm_a.name if shards.label == "a" else asked.study.algorithm_b.name
        print(f"{name}: {shards.kind}: {len(shards.done)} of {shards.wanted} shards  {shards.training.prefix}")
    if moving := pace(sets, keys, time.time()):
        print(f"training: {moving}")
    for name, reference in results(comparison).items():
        print(f"{'done   ' if reference.record in keys else 'missing'} {name}")
    page = comparison.report.record
    print(f"report: {store.url(page)}" if page in keys else "report: not written yet")
    return 0


def report(overrides: Sequence[str]) -> int:
    """Draw the report of a finished comparison again."""
    asked = request(overrides)
    comparison, store = _stored(asked)
    missing = [name for name, reference in results(comparison).items() if not reference.complete(store)]
    if missing:
        print(
            f"modeldiff: {asked.study.name} lacks {', '.join(missing)}\nRun: modeldiff compare {shlex.join(overrides)}",
            file=sys.stderr,
        )
        return 1
    from modeldiff_core.stages.report import write_report
    from modeldiff_core.stages.summary import write_summary

    settings = _plain(asked.store)
    study = comparison.study.model_dump(mode="json")
    write_summary(settings, study)
    write_report(settings, study)
    print(f"Report: {store.url(comparison.report.record)}")
    return 0


def ui(overrides: Sequence[str]) -> int:
    """Serve Prefect's UI over the history until interrupted."""
    request(overrides)
    with prefect_api() as api:
        print(f"Prefect UI: {api.ui_url} (Ctrl-C ends it)", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


@dataclass
class _End:
    """Why a run did not complete; empty if it did."""

    why: str = ""


@contextmanager
def _ends(api: ApiAddress) -> Iterator[_End]:
    """Takes note of how a run may fail; a wrong request, an interruption and what nobody expected are raised."""
    from httpx import HTTPError
    from prefect.exceptions import CancelledRun, PrefectException

    end = _End()
    try:
        yield end
    except ConfigError:
        raise
    except (ModelDiffError, CancelledRun) as error:
        end.why = str(error)
    except (HTTPError, PrefectException) as error:
        end.why = (
            f"Prefect's server at {api.ui_url} does not answer as it should ({type(error).__name__}: {error}). "
            "What was computed is in the store."
        )


def _failed(why: str, verb: str, overrides: Sequence[str]) -> int:
    print(f"modeldiff: {why}\nResume with: modeldiff {verb} {shlex.join(overrides)}", file=sys.stderr)
    return 1


def _size_of_shards(shards: ShardSet, seconds_a_model: float) -> str:
    """What to make of shards that are many and take seconds: Prefect shows and repeats minutes better."""
    seconds = shards.models_in_shard * seconds_a_model
    if len(shards.missing) < MANY or seconds >= MINUTES:
        return ""
    key = "subsets.shard_size" if shards.kind == "subsets" else "ensemble.shard_size"
    return f", {seconds:.1f} s a shard: {key}={int(MINUTES / seconds_a_model)} would make it minutes"


def _comparison(asked: Request) -> tuple[Comparison, ObjectStore]:
    from flows.resolve import resolve

    comparison, warnings = resolve(asked)
    for warning in warnings:
        print(f"modeldiff: warning: {warning}", file=sys.stderr)
    return comparison, ObjectStore(asked.store)


def _learned(comparison: Comparison, store: ObjectStore) -> list[str]:
    """What the learning curves in the store say of more models; nothing where there are none."""
    from modeldiff_core.report.learning import learning_words

    subsets, said = comparison.study.subsets, []
    for training in comparison.trainings:
        curve = read_curve(store, Curve.of(comparison.study, training), subsets.models)
        if curve is not None:
            wished = subsets.rounds.wished_score
            said.append(learning_words(training.algorithm.name, curve, subsets.evaluation_models, wished))
    return said


def _stored(asked: Request) -> tuple[Comparison, ObjectStore]:
    """The comparison as far as the rounds of an adaptive study have come."""
    store = ObjectStore(asked.store)
    return current_round(store, Comparison.of(asked.study)).comparison, store


def _plain(settings: StoreSettings) -> dict[str, Any]:
    return asdict(settings)
