"""What each verb of the command line does, for every experiment."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_core.experiments.experiment import Experiment, data_lines, experiments
from modeldiff_core.plan import Step, Survey, survey
from modeldiff_core.plan.speed import pace
from modeldiff_core.stages.own_code import changed_code
from modeldiff_core.stages.regress import BlockSpec
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import StudyConfig
from modeldiff_core.study.gpu_hours import predicted_lines
from modeldiff_platform.flows.cli import volume
from modeldiff_platform.flows.cli.asked import asked_for, headline, so_far
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.prefect_api.recorded import recorded
from modeldiff_platform.flows.prefect_api.run_log import the_rest
from modeldiff_platform.flows.prefect_api.server import ApiAddress, prefect_api

MANY = 1000
"""Shards of which there are many: each is a line in Prefect's UI and some rows in its database."""
MINUTES = 120.0
"""Seconds that a shard may well take where there are many."""
NAMED = 4
"""Most missing results that ``plan`` names."""


def run(overrides: Sequence[str], kind: str = "") -> int:
    """Run an experiment, with a private Prefect server unless one is configured."""
    from modeldiff_platform.flows.limits import check_limits
    from modeldiff_platform.flows.resolve import resolve

    asked = asked_for(overrides, kind)
    experiment, warnings = resolve(asked)
    _tell(experiment, warnings)
    check_limits(experiment, ObjectStore(asked.store), asked)
    with recorded() as api:
        if not volume.quiet():
            print(f"Prefect UI: {api.ui_url}", flush=True)
        from modeldiff_platform.flows.experiment import run_experiment

        with _ends(api) as end:
            result = run_experiment(asked)
        if end.why:
            lines = f"modeldiff: {end.why}", the_rest(), f"Resume with: {_command(kind or experiment.kind, overrides)}"
            print(*filter(None, lines), sep="\n", file=sys.stderr)
            return 1
    for line in result["findings"]:
        print(line)
    for words, url in result["links"].items():
        print(f"{words}: {url}")
    return int(result.get("exit_code", 0))


def plan(overrides: Sequence[str], kind: str = "") -> int:
    """Say what is done and what is missing, and time a probe of each algorithm whose shards are."""
    from modeldiff_platform.flows.limits import check_limits
    from modeldiff_platform.flows.measure import measured
    from modeldiff_platform.flows.resolve import resolve

    asked = asked_for(overrides, kind)
    if isinstance(asked.study, StudyConfig):  # before the data are read: they need not be there yet
        for line in predicted_lines(asked.study):
            print(line, flush=True)
    experiment, warnings = resolve(asked)
    _tell(experiment, warnings)
    store = ObjectStore(asked.store)
    experiment = experiment.now(store)
    print(headline(experiment, store))
    found, elsewhere = survey(experiment, store), asked.runner.address is not None
    timed = {} if elsewhere else measured(found.missing, asked)
    seconds = 0.0
    for group, known in found.groups().items():
        if known[0].step.label.unit == "tasks" or not known[0].step.cost.units:
            continue
        missing = [one.step for one in known if one.state == "missing"]
        units, unit = sum(step.cost.units for step in missing), known[0].step.label.unit
        verb = "train" if unit == "models" else "make"
        line = f"{group}: {len(known) - len(missing)} of {len(known)} shards done, {units} {unit} to {verb}"
        if group in timed and units:
            each = timed[group]["seconds_a_model"]
            seconds += units * each / len(asked.runner.places)
            line += f", {1000 * each:.1f} ms a model (measured){_size_of_shards(missing, each)}"
            line += f", {size(timed[group]['peak_bytes'])} a process" if timed[group]["peak_bytes"] else ""
            if timed[group]["processes"] > 1:
                line += f" with {timed[group]['processes']} processes on a device"
        print(line)
    for line in experiment.advice(store):
        print(line)
    print(_to_compute(found))
    places = asked.runner.places
    if words := _regression(found, len(places)):
        print(words)
    if elsewhere:
        print(f"training time not measured: the workers of {asked.runner.address} are not this machine")
    else:
        where = f"{len(places)} {'workers' if places[0] == 'cpu' else 'devices'}"
        if timed or not found.missing:
            print(f"training time about {seconds:.0f} s on {where}")
        else:
            which = "its steps" if found.later.keys() == found.awaits.keys() else "the steps that are known"
            takes = f"{duration(found.seconds / len(places))} on {where}, {duration(found.seconds)} on one"
            print(f"time about {takes}, by the predicted cost of {which}")
    check_limits(experiment, store, asked)
    return 0


def status(overrides: Sequence[str], kind: str = "") -> int:
    """Say what the store holds, from one listing of each folder that the study uses."""
    _, experiment, store = so_far(overrides, kind)
    print(headline(experiment, store))
    for line in experiment.remarks():
        print(line)
    found = survey(experiment, store)
    _tell_of_code(experiment, store, found)
    for group, known in found.groups().items():
        done = sum(one.state != "missing" for one in known)
        if known[0].step.label.unit != "tasks":
            print(f"{group}: {done} of {len(known)} shards")
    if moving := pace(found, time.time()):
        print(f"training: {moving}")
    for group, known in found.groups().items():
        lacking = [one for one in known if one.state == "missing"]
        failed = sum(one.state == "failed" for one in known)
        count = f" ({len(known) - len(lacking)} of {len(known)})" if len(known) > 1 else ""
        ended = f", {failed} ended without a result, which is recorded" if failed else ""
        print(f"{'missing' if lacking else 'done   '} {group}{count}{ended}")
    for title, awaits in found.awaits.items():
        print(f"later   {title}: known when {awaits}")
    page = experiment.report.record
    print(f"report: {store.url(page)}" if page in found.keys else "report: not written yet")
    return 0


def report(overrides: Sequence[str], kind: str = "") -> int:
    """Write the summary and the report of a finished experiment again."""
    _, experiment, store = so_far(overrides, kind)
    found = survey(experiment, store)
    missing = [step.name for step in found.missing if step.reference.record != experiment.report.record]
    missing += [f"{title} (known when {awaits})" for title, awaits in found.awaits.items()]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        print(
            f"modeldiff: {experiment.name} lacks {', '.join(missing[:NAMED])}{more}\n"
            f"Run: {_command(kind or experiment.kind, overrides)}",
            file=sys.stderr,
        )
        return 1
    _tell_of_code(experiment, store, found)
    experiment.redraw(store)
    for words, url in experiment.shown(store).links.items():
        print(f"{words}: {url}")
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


def _tell(experiment: Experiment, warnings: Sequence[str]) -> None:
    """Print what the data hold, and what may not be meant, before anything is trained; nothing with -q."""
    if volume.quiet():
        return
    for line in data_lines(experiment):
        print(line)
    for warning in warnings:
        print(f"modeldiff: warning: {warning}", file=sys.stderr)


def _tell_of_code(experiment: Experiment, store: ObjectStore, found: Survey) -> None:
    """Name stored results of a user's own code that is another by now; nothing is refused that adds nothing."""
    for changed in changed_code(experiment, store, found.keys):
        print(f"modeldiff: warning: {changed.words()}", file=sys.stderr)


def _command(kind: str, overrides: Sequence[str]) -> str:
    """Return the command that runs an experiment of that kind."""
    return f"modeldiff {experiments().get(kind).command} {shlex.join(overrides)}"


def _to_compute(found: Survey) -> str:
    """Return how many results follow after training, and the first of them."""
    results = [step for step in found.missing if step.label.unit == "tasks" or not step.cost.units]
    names = ", ".join(step.name for step in results[:NAMED]) + (" …" if len(results) > NAMED else "")
    line = f"{len(results)} results to compute after training" + (f": {names}" if results else "")
    if found.awaits:
        line += "; then as many as " + ", ".join(found.awaits) + " need"
    memory = max((step.cost.memory for step in results), default=0)
    return line + (f"; the largest takes about {memory / 1e6:.0f} MB" if memory > 1e8 else "")


def _regression(found: Survey, places: int) -> str:
    """Return what the regressions that are missing take: seconds by their predicted cost, and memory; or nothing."""
    blocks = [(step.spec.regression, step.cost) for step in found.missing if isinstance(step.spec, BlockSpec)]
    if not blocks:
        return ""
    fits = {fit.reference.key: fit for fit, _ in blocks}.values()
    shape = f"{max(fit.targets for fit in fits):,} targets on {max(fit.units for fit in fits):,} examples"
    takes = duration(sum(cost.seconds for _, cost in blocks) / places)
    memory = size(max(cost.memory for _, cost in blocks))
    return f"regression: {len(fits)} of {shape}, predicted to take {takes} here and {memory} a process"


def duration(seconds: float) -> str:
    """Return seconds in words, in the unit that reads best."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Return bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 1):.0f} MB"


def _size_of_shards(missing: Sequence[Step], seconds_a_model: float) -> str:
    """Return what to make of shards that are many and take seconds: Prefect shows and repeats minutes better."""
    if len(missing) < MANY or (seconds := missing[0].cost.units * seconds_a_model) >= MINUTES:
        return ""
    kind = missing[0].label.group.rpartition(": ")[2]
    size = int(MINUTES / seconds_a_model)
    return f", {seconds:.1f} s a shard: {kind}.shard_size={size} would make it minutes"


@dataclass
class _End:
    """Why a run did not complete; empty if it did."""

    why: str = ""


@contextmanager
def _ends(api: ApiAddress) -> Iterator[_End]:
    """Take note of how a run may fail; a wrong request, an interruption and unexpected errors are raised."""
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
