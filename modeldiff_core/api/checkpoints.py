"""A comparison from trained checkpoints alone, in a notebook or a script: nothing is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeldiff_core.api.compare import TEXT_LINES, Store, opened, tell
from modeldiff_core.api.data import Data
from modeldiff_core.api.report import Report
from modeldiff_core.api.study import slug
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.checkpoints.attributed import StoredState
from modeldiff_core.experiments.checkpoints.experiment import Checkpoints
from modeldiff_core.experiments.checkpoints.networks import build, network_of, with_source
from modeldiff_core.experiments.checkpoints.settings import NetworkConfig
from modeldiff_core.experiments.checkpoints.states import State, check_distinct, check_fits, digest_of, state_of
from modeldiff_core.experiments.experiment import data_lines, parse_settings
from modeldiff_core.plan import Bar, InProcess, run
from modeldiff_core.stages.own_code import check_code, note_code
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import given
from modeldiff_core.study.build import check_images
from modeldiff_core.training import Execution

NETWORK = ("arguments", "mean", "scale")
"""Further arguments that are settings of the network."""


def compare_checkpoints(
    a: Sequence[Any], b: Sequence[Any], *, network: Any, data: Data, store: Store, **others: Any
) -> Report:
    """Compare two algorithms by trained checkpoints of each and return the report; nothing is trained.

    With 6 checkpoints of each or more, directions have a p-value with whole checkpoints as replicates; with fewer they
    cannot be tested, and the report says so. What the store holds of a checkpoint is not computed again.

    Args:
        a: Checkpoints of the first algorithm, each of a training of its own on all of the data: modules, state dicts,
            or paths of files that hold a state dict (torch.save, read with weights_only, or safetensors).
        b: As many of the second.
        network: What all of them fit: a module, whose weights do not matter, a class or function that makes one
            without arguments, or an import path, ``module:name``; a tuple of two where B's is another.
        data: On what they were trained, and the test images that are explained. The network is given images as they
            are given here.
        store: A folder, an fsspec URL, or settings of a store.
        others: ``names`` of the two; ``name`` of the study; ``mean`` and ``scale``, where the network gets (image −
            mean)/scale; ``arguments`` of the network; ``progress``, what shows the progress; any other is a setting of
            the study, such as ``estimator={"kind": "trak"}`` or ``targets=500``.

    Raises:
        ConfigError: Before anything is computed, in one line: for checkpoints that do not fit the network, that are
            pickles, not finite, the same twice, or of unequal number, and for data that do not fit.

    """
    if not isinstance(data, Data):
        raise ConfigError("data", "Data(x_train, y_train, x_test, y_test)", type(data).__name__)
    place, read, names = ObjectStore(opened(store)), data.read, others.pop("names", ("A", "B"))
    progress = others.pop("progress", None)
    check_images(read.dataset, Checkpoints.kind)
    settings = {name: others.pop(name) for name in NETWORK if name in others}
    form = {name: getattr(read.form, name) for name in ("dtype", "axes", "low", "high")}
    given_networks = network if isinstance(network, tuple) and len(network) == 2 else (network, network)
    configs = {
        side: with_source(NetworkConfig.model_validate({**network_of(one), **settings, "form": form}))
        for side, one in zip("ab", given_networks, strict=True)
    }
    states: dict[str, list[State]] = {}
    called: dict[str, list[str]] = {}
    for side, checkpoints in (("a", a), ("b", b)):
        if isinstance(checkpoints, str | Path) or not len(checkpoints):
            raise ConfigError(side, "a list of one checkpoint or more", checkpoints)
        called[side] = [_called(one, side, at) for at, one in enumerate(checkpoints)]
        states[side] = [state_of(one, side) for one in checkpoints]
        net = build(configs[side], read.dataset.image_shape, len(read.dataset.classes))
        for state, what in zip(states[side], called[side], strict=True):
            check_fits(state, net, side, what)
    digests = {side: tuple(digest_of(state) for state in own) for side, own in states.items()}
    check_distinct(digests, called)
    study = parse_settings(
        Checkpoints.settings,
        {
            "experiment": Checkpoints.kind,
            "name": others.pop("name", "") or slug(*names),
            **others,
            "dataset": _dataset(place, read.dataset.fingerprint),
            "network": configs["a"].model_dump(mode="json"),
            **({"network_b": configs["b"].model_dump(mode="json")} if configs["b"] != configs["a"] else {}),
            **{side: {"name": name, "states": digests[side]} for side, name in zip("ab", names, strict=True)},
        },
    )
    given.write(place, read.dataset)
    experiment = Checkpoints.of(study, place)  # type: ignore[arg-type]
    for line in data_lines(experiment)[:TEXT_LINES]:
        tell(line)
    for warning in (*experiment.check(), *check_code(experiment, place, False)):
        tell(f"warning: {warning}")
    for side, own in states.items():
        for digest, state in zip(digests[side], own, strict=True):
            product = StoredState(digest).product
            if not place.exists(product.reference.record):
                product.write(place, state)
    run(note_code(experiment, place, False), place, InProcess(place, Execution()), progress or Bar())
    experiment.refresh(place)
    return Report(experiment, place)


def _dataset(store: ObjectStore, fingerprint: str) -> dict[str, Any]:
    """Return the part of a study that names data in a store."""
    settings = store.settings
    place = {name: getattr(settings, name) for name in ("endpoint", "region", "profile")}
    own = {name: value for name, value in place.items() if value}
    return {"kind": given.KIND, "fingerprint": fingerprint, "root": settings.url, **own}


def _called(one: Any, side: str, at: int) -> str:
    return Path(one).name if isinstance(one, str | Path) else f"{side}[{at}]"
