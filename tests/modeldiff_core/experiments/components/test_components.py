"""The experiment in one process: to its report, interrupted, repaired, and held against a plain computation."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from harness.own_experiments import content
from modeldiff_core.ablation import Probes, Selection
from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.components.scores import ALONE, FITTED, METHODS, attributions
from modeldiff_core.experiments.run import run_study
from modeldiff_core.margins import OUTPUTS, correct_class_margin
from modeldiff_core.plan import NoProgress, Reference, survey, verify
from modeldiff_core.responses import Ablated
from modeldiff_core.responses.networks import Network, Opened
from modeldiff_core.store import MarginMatrix, ObjectStore, read_record
from modeldiff_core.training import Execution
from tests.modeldiff_core.ablation.networks import plain_loop
from tests.modeldiff_core.experiments.components.studies import TINY, make, opened


def test_runs_to_its_report_and_a_second_run_makes_nothing(finished: Path) -> None:
    experiment, store = opened(finished)
    assert survey(experiment, store).complete
    assert verify(experiment, store) == ()
    before = content(finished)
    assert make(experiment, store) == []
    shown = experiment.shown(store)
    assert [table.name for table in shown.tables] == ["Scores", "Layers", "Strongest components"]
    assert len(shown.tables[0].rows) == len(METHODS)
    page = store.read(experiment.report.record).decode()
    assert all(finding.replace("'", "&#39;") in page for finding in shown.findings)
    assert [store.read(figure)[:4] for figure in shown.figures] == [b"\x89PNG"] * 2
    assert experiment.advice(store) == ["components: 16 (conv0 (filter) 6, conv1 (filter) 10)"]
    experiment.redraw(store)
    assert content(finished) == before


def test_scores_are_those_of_a_plain_computation(finished: Path) -> None:
    experiment, store = opened(finished)
    summary = read_record(store, experiment.summary.record)
    rho: dict[str, list[float]] = {name: [] for name in METHODS}
    for parts in experiment.parts.values():
        subject, found = parts.ablated.open(store, Execution())
        spec, asked = experiment.scores(parts, 100), found.probes
        masks = parts.test(0.2).design.masks(range(40))
        outputs = plain_loop(subject.net, subject.components, asked, masks)
        for name, weights in attributions(store, spec).items():
            predicted = masks @ weights.T
            pairs = zip(predicted.T, outputs.T, strict=True)
            rho[name].append(float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])))
        whole = plain_loop(subject.net, subject.components, asked, np.ones((1, 16), dtype=bool))
        one = plain_loop(subject.net, subject.components, asked, ~np.eye(16, dtype=bool))
        np.testing.assert_allclose(attributions(store, spec)[ALONE], (whole - one).T, atol=2e-5)
    (at,) = [test for test in summary["rho"] if test["alpha"] == 0.2]
    for name, values in rho.items():
        assert at["rho"][name]["mean"] == pytest.approx(np.mean(values), abs=1e-4)
    assert np.mean(rho[FITTED]) > 0.8
    assert abs(np.mean(rho["random"])) < 0.2
    assert at["rho"][FITTED]["low"] < at["rho"][FITTED]["mean"] < at["rho"][FITTED]["high"]


@pytest.mark.parametrize("steps", [7, pytest.param(1, marks=pytest.mark.nightly)])
def test_an_interrupted_run_goes_on_with_equal_bits(steps: int, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(*opened(tmp_path), most=steps)
    there = {one.name for one in survey(*opened(tmp_path)).of_state("done")}
    assert len(there) >= steps
    assert not survey(*opened(tmp_path)).complete
    assert there.isdisjoint(make(*opened(tmp_path)))
    assert content(tmp_path) == content(finished)


def test_more_memory_changes_no_key(finished: Path) -> None:
    changed, store = opened(finished, ablation={**TINY["ablation"], "memory_mb": 1})
    missing = {step.stage.__name__ for step in survey(changed, store).missing}
    assert missing <= {"write_summary", "write_report"}


def test_each_kind_of_step_is_made_again_alone(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    before = content(root)
    experiment, store = opened(root)
    one_each = {step.stage.__name__: step for step in survey(experiment, store).of_state("done")}
    assert {"make_shard", "gather", "differentiate", "score_components", "finish_regression"} <= one_each.keys()
    one_each.pop("count_masks", None)
    for step in one_each.values():
        (root / step.reference.record).unlink()
        assert step.name in [missing.name for missing in survey(experiment, store).missing]
        assert make(experiment, store) == [step.name]
        assert content(root) == before


def test_a_comparison_of_the_same_algorithm_shares_the_networks(finished: Path) -> None:
    from modeldiff_core.experiments.compare import Comparison
    from modeldiff_core.study import parse_study

    experiment, _ = opened(finished)
    study = {key: TINY[key] for key in ("dataset", "ensemble")}
    b = {**TINY["algorithm"], "name": "other", "seed": 2}
    comparison = Comparison.of(
        parse_study({**study, "name": "pair", "algorithm_a": TINY["algorithm"], "algorithm_b": b})
    )
    assert comparison.trainings[0].digest == experiment.training.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": [{"pattern": "layer4.*"}]}, "components.0.pattern: expected a pattern that matches"),
        ({"components": [{"kind": "rows", "pattern": "conv0"}]}, "components.0.pattern: expected the name of a module"),
        ({"attributed": 61}, "attributed: expected at most the 60 targets, got 61"),
        ({"targets": 61}, "targets: expected at most the 60 test examples, got 61"),
        ({"networks": [0, 0]}, "networks: expected distinct numbers"),
        ({"ablation": {"tests": [0.1, 0.1]}}, "ablation.tests: expected distinct shares"),
        ({"ablation": {"alpha": 0.01}}, "ablation.alpha: expected a share that ablates one component or more"),
        ({"ablation": {"alpha": 1.5}}, "ablation.alpha"),
        ({"ablation": {"fill": "noise"}}, "ablation.fill"),
        ({"fit": {"estimator": "trak", "settings": {}}}, "fit.estimator: expected an estimator from masks and outputs"),
        ({"fit": {"settings": {"penalties": [-1.0]}}}, "penalties"),
        ({"algorithm": {"name": "x", "kind": "sklearn", "recipe": {}}}, "algorithm.kind"),
        ({"hidden": 3}, "hidden: expected no such setting"),
    ],
)
def test_what_cannot_give_a_result_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_study({**TINY, **changes}, tmp_path, progress=NoProgress())
    assert content(tmp_path) == {}


def test_the_lasso_fits_too(finished: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished, tmp_path / "store"))
    experiment, store = opened(root, fit={"estimator": "lasso"}, networks=[0])
    assert experiment.check() == []
    made = make(experiment, store)
    assert not any("shard" in name for name in made)
    (at,) = [test for test in read_record(store, experiment.summary.record)["rho"] if test["alpha"] == 0.2]
    assert at["rho"][FITTED]["mean"] > 0.7
    assert "" in {row["95 % interval"] for row in experiment.shown(store).tables[2].rows}


def test_few_ablations_give_a_warning(tmp_path: Path) -> None:
    experiment, _ = opened(tmp_path, ablation={**TINY["ablation"], "rows": 40})
    assert experiment.check()[0].startswith("ablation.rows: 40 ablations of 16 components; with fewer than three")


@dataclass(frozen=True)
class Broken(Network):
    """A network that gives NaN for two of its targets."""

    kind: Literal["broken"] = "broken"
    identity = {"kind": "broken"}  # noqa: RUF012
    needs: tuple[Reference, ...] = ()

    def structure(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))

    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        inputs = torch.ones(targets, 3)
        inputs[[1, 4], 0] = torch.nan
        probes = Probes(inputs, torch.zeros(targets, dtype=torch.long), OUTPUTS.get(output))
        return Opened(self.structure().requires_grad_(False), None, probes, inputs)


def test_targets_that_are_not_finite_before_any_ablation_are_named(finished: Path) -> None:
    ablated = Ablated(Broken(), (Selection("rows", "0"),), "zero", 6, "margin")
    with pytest.raises(
        ConfigError, match=r"attributed: expected targets whose margin is finite .* got '2 that are not: 1, 4'"
    ):
        ablated.open(opened(finished)[1], Execution())


def test_rows_are_those_of_the_network_that_was_trained(finished: Path) -> None:
    """The matrix's first row of one at a time is what the training itself stored for its full-data model."""
    experiment, store = opened(finished)
    parts = experiment.parts[1]
    first = MarginMatrix.open(store, parts.matrices()["one at a time"].reference.key).margins()[0]
    logits = torch.from_numpy(_logits(experiment.training.load().test, experiment, store))
    expected = correct_class_margin(logits[1, :24], torch.from_numpy(experiment.training.load().test.labels[:24]))
    np.testing.assert_allclose(first, expected, atol=1e-4)


def _logits(test: Examples, experiment: Any, store: ObjectStore) -> np.ndarray:
    from modeldiff_core.responses import FullModels

    assert len(test) == 60
    return FullModels(experiment.training).logits(store, 2)


def test_a_gallery_shows_the_images_that_a_component_gives_most_on(finished: Path) -> None:
    experiment, store = opened(finished)
    found = experiment.gallery(100).read(store)
    strongest = [one["component"] for one in read_record(store, experiment.summary.record)["strongest"]]
    subject, network = experiment.parts[0].ablated.open(store, Execution())
    assert len(found) == 6
    for one in found:
        layer, number = re.fullmatch(r"(conv\d)\[(\d+)\]", one["component"]).groups()  # type: ignore[union-attr]
        given: list[torch.Tensor] = []
        hook = subject.net.get_submodule(layer).register_forward_hook(lambda _m, _i, out, to=given: to.append(out))
        subject.net(network.probes.inputs)
        hook.remove()
        mean = given[0][:, int(number)].mean((1, 2)).numpy()
        assert one["images"][0] == int(mean.argmax())
        np.testing.assert_allclose(one["outputs"], np.sort(mean)[::-1][:8], rtol=1e-4)
    own = read_record(store, experiment.scores(experiment.parts[0], 100).reference.record)["sizes"]["regression"]
    assert found[0]["size"] == max(own)
    assert strongest[0] == found[0]["component"]
