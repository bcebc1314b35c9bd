"""Every part that a user can register: its code is told apart, named before anything is computed, and in `status`."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.ablation import Selection
from modeldiff_core.ablation.selection import SELECTORS
from modeldiff_core.datamodels.estimators import ESTIMATORS
from modeldiff_core.designs import DESIGNS
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments import experiment as contract
from modeldiff_core.experiments.reported import StudySpec, write_summary
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.models import ARCHITECTURES
from modeldiff_core.plan import InProcess, Label, NoProgress, Record, Reference, Step, Wave, run
from modeldiff_core.registry import Registry
from modeldiff_core.responses import INTERVENTIONS, Ablated, Rows
from modeldiff_core.responses.networks import TrainedNetwork
from modeldiff_core.stages.own_code import changed_code, check_code, note_code
from modeldiff_core.stages.own_parts import own_parts
from modeldiff_core.stages.shards import shard_steps
from modeldiff_core.store import ObjectStore
from modeldiff_core.training import Execution
from tests.modeldiff_core.stages.studies import TINY, local
from tests.modeldiff_core.undrawn import undrawn

MODULES = {
    "own_output": """
        from modeldiff_core.margins.outputs import Output, correct_class_margin

        def doubled(logits, labels):
            return 2 * correct_class_margin(logits, labels)

        PART = Output(doubled, right_above=0.0)
    """,
    "own_architecture": """
        from modeldiff_core.models.architectures import Architecture
        from modeldiff_core.models.small import MLP

        def build(shape, widths, n_classes):
            return MLP(shape, widths, n_classes)

        PART = Architecture(build, (8,), any_depth=True)
    """,
    "own_estimator": """
        from dataclasses import dataclass
        from modeldiff_core.datamodels.means import DifferenceInMeans

        SCALE = 1.0

        @dataclass(frozen=True)
        class PART(DifferenceInMeans):
            pass
    """,
    "own_rows": """
        from dataclasses import dataclass
        from typing import Literal
        import numpy as np
        from modeldiff_core.designs import Bernoulli
        from modeldiff_core.responses import Intervention

        @dataclass(frozen=True)
        class Own(Intervention):
            kind: Literal["own"] = "own"
            units: int = 6

            def respond(self, masks, numbers, seeds, execution):
                return 1.0 * masks[:, :2].astype(np.float32)

        @dataclass(frozen=True)
        class Drawn(Bernoulli):
            kind: Literal["drawn"] = "drawn"

        PART = Own
    """,
    "own_selector": """
        def PART(name, module):
            return None
    """,
    "own_experiment": """
        from modeldiff_core.experiments.one_page import OnePage

        class PART(OnePage):
            kind = "own"
    """,
}
STUDY: dict[str, Any] = {
    **TINY,
    "dataset": {**TINY["dataset"], "n_train": 200},
    "output": "own",
    "regression": {**TINY["regression"], "also": ["own"]},
    "transformations": [],
    "search": {"directions": 0},
    "comparison": {**TINY["comparison"], "permutations": 0},
}
for side in "ab":
    given = STUDY[f"algorithm_{side}"]
    recipe = {**given["recipe"], "network": {"kind": "own", "widths": [8]}}
    STUDY[f"algorithm_{side}"] = {**given, "recipe": recipe}


class Package:
    """Modules of a user's own, and what they register under the name `own`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)  # another test's module of that name
            self.write(name)
        importlib.invalidate_caches()
        self.own = {name: importlib.import_module(name).PART for name in MODULES}
        for registry, name in (
            (OUTPUTS, "own_output"),
            (ARCHITECTURES, "own_architecture"),
            (ESTIMATORS, "own_estimator"),
            (INTERVENTIONS, "own_rows"),
            (SELECTORS, "own_selector"),
        ):
            monkeypatch.setitem(registry._builtin, "own", self.own[name])
        monkeypatch.setitem(DESIGNS._builtin, "drawn", sys.modules["own_rows"].Drawn)

    def write(self, name: str, more: str = "") -> None:
        """Write a module, or other code of it: what is there is read again for its digest."""
        lines = [line[8:] for line in MODULES[name].splitlines()]
        (self.folder / f"{name}.py").write_text("\n".join([*lines, more]))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        yield Package(folder, patch)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def finished(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of a finished study of an output, an architecture and an estimator of one's own."""
    root = tmp_path_factory.mktemp("store")
    with undrawn():
        run_study(STUDY, root, execution=Execution(stack=20), progress=NoProgress())
    return root


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ("own_output", "algorithm_a.kind"),
        ("own_architecture", "algorithm_a.kind"),
        ("own_estimator", "regression.estimator"),
    ],
)
def test_what_a_comparison_names_is_refused_once_its_code_is_another(
    package: Package, finished: Path, changed: str, key: str
) -> None:
    experiment, store = open_experiment(STUDY, finished)
    assert list(changed_code(experiment, store)) == []
    package.write(changed, more="OTHER = 1")
    try:
        again, _ = open_experiment(STUDY, finished)
        with pytest.raises(ConfigError, match=rf"^{key}: expected the code that computed .*other code in .*{changed}"):
            check_code(again, store)
        assert any(found.other_code and found.words().startswith(key) for found in changed_code(again, store))
        assert check_code(again, store, accept=True) == []
    finally:
        package.write(changed)


def test_shards_of_two_codes_never_meet_and_accepting_keeps_them(package: Package, tmp_path: Path) -> None:
    made, store = own_rows(package), local(tmp_path)
    run(note_code(made, store), store, InProcess(store, Execution()), NoProgress())
    (note,) = store.sizes("code")
    shard = made.steps[0].reference.record
    assert check_code(made, store) == []
    package.write("own_rows", more="OTHER = 1")
    try:
        with pytest.raises(ConfigError, match=r"intervention\.kind: .*other code in own_rows"):
            check_code(made, store)
        before = store.listing("responses")[shard].written
        note_code(made, store, accept=True)
        assert check_code(made, store) == []
        assert store.listing("responses")[shard].written == before
    finally:
        package.write("own_rows")
    with pytest.raises(ConfigError):
        check_code(made, store)
    store.delete(note)
    (unknown,) = check_code(made, store)
    assert unknown.endswith("does not say which code it was computed by")
    for key in store.sizes("responses"):
        store.delete(key)
    assert check_code(made, store) == [], "nothing is kept, so nothing can be mixed"


def test_designs_selectors_and_experiments_are_found_in_what_steps_are_given(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = own_rows(package).steps[0]
    assert own_parts(rows).keys() == {"intervention.kind", "design.kind"}

    experiment, _ = open_experiment(STUDY, tmp_path)
    network = TrainedNetwork(experiment.comparison.trainings[0], 0)  # type: ignore[attr-defined]
    spec = Ablated(network, (Selection("own"),), "zero", 2, "own")
    step = Step("ablated", Record(Reference("k", "d", "k.json")), write_summary, spec)
    assert own_parts(step).keys() == {"components.kind", "output"}
    kinds: Registry[Any] = Registry("modeldiff.experiments", "experiment", {"own": package.own["own_experiment"]})
    monkeypatch.setattr("modeldiff_core.experiments.reported.experiments", lambda: kinds)
    step = Step("summary", Record(Reference("k", "d", "k.json")), write_summary, StudySpec("own", {}))
    assert own_parts(step).keys() == {"experiment"}
    monkeypatch.undo()
    step = Step("summary", Record(Reference("k", "d", "k.json")), write_summary, StudySpec("compare", {}))
    assert own_parts(step) == {}, "what ships is nobody's own"
    assert contract.DEFAULT == "compare"


class Shards:
    """A plan of nothing but shards of own rows."""

    folders, shared = ("responses",), ()

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    def waves(self, store: ObjectStore) -> Iterator[Wave]:
        yield Wave("rows", self.steps)


def own_rows(package: Package) -> Shards:
    design = sys.modules["own_rows"].Drawn(6, 0.5, 3)
    rows = Rows("own", package.own["own_rows"](), design, {"targets": 2}, shard_size=4)
    return Shards(tuple(shard_steps(rows, 8, "rows", Label("rows"), 0.1)))
