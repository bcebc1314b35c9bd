"""A comparison by differentiated trainings: what follows directions is as of any other; it says what it rests on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from modeldiff_core import plan
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.counterfactual.experiment import Counterfactual, CounterfactualStudy
from modeldiff_core.experiments.preview.experiment import Preview, PreviewStudy
from modeldiff_core.stages import products
from modeldiff_core.stages.matrix_free import MatrixFree
from modeldiff_core.stages.products import read_finite
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import parse_study
from tests.modeldiff_core.conftest import CONTENT
from tests.modeldiff_core.stages.studies import EXECUTION, local
from tests.modeldiff_core.undrawn import undrawn

SMALL = {"models": 4, "shard_size": 2}
HELD = {**CONTENT["subsets"], "evaluation_models": 20, "shard_size": 20}
LEARNED = {"epochs": 10, "batch_size": 25, "network": {"kind": "mlp", "widths": [32]}}


def content(trainings: int = 6, changes: Mapping[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    """The small study of digits with a planted block, by trainings."""
    method = {"method": "matrix_free", "components": 2, "top": 5, "matrix_free": {"trainings": trainings, "probes": 4}}
    sides = {
        side: {**CONTENT[side], "recipe": {**CONTENT[side]["recipe"], **LEARNED}}
        for side in ("algorithm_a", "algorithm_b")
    }
    search = {"directions": 1, "candidates": 3, "confirmed": 1}
    settings = {"subsets": HELD, "ensemble": SMALL, "search": search, "comparison": {**method, **asked}}
    return {**CONTENT, **sides, **settings, **(changes or {})}


def compare(store: ObjectStore, *given: Any, **asked: Any) -> Compare:
    return Compare.of(parse_study(content(*given, **asked)), store)


def run(store: ObjectStore, experiment: Compare) -> dict[str, Any]:
    """Return the summary of a comparison whose pages are not drawn; tests that read pages draw them."""
    with undrawn():
        plan.run(experiment, store, plan.InProcess(store, EXECUTION))
    return read_record(store, experiment.summary.record)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return local(tmp_path_factory.mktemp("store"))


def test_trainings_take_the_place_of_datamodels(store: ObjectStore) -> None:
    experiment = compare(store)
    assert not any("matrix_free" in warning for warning in experiment.check())
    summary = run(store, experiment)
    told = summary["products"]
    assert (told["estimator"], told["trainings"], told["tested"], told["smallest_p"]) == (
        "metagradient",
        6,
        True,
        1 / 32,
    )
    assert (told["differentiated"], told["reverse"], told["forward"]) == (16, 16, 96)
    assert 0 < told["missed"] < 1
    assert [entry["rank"] for entry in summary["directions"]] == list(range(len(summary["directions"])))
    assert all(1 / 32 <= entry["p_adjusted"] <= 1 for entry in summary["directions"])
    first = summary["directions"][0]
    assert first["significant"]
    assert first["side"] == "a-b"
    assert first["subpopulations"]
    assert summary["found"]
    assert summary["transformations"][0]["name"] == "watermark"
    assert summary["lds"]["a"]["mean"] > 0.2
    assert summary["algorithms"]["a"]["models"] == 20
    names = list(store.listing(experiment.comparison.trainings[0].prefix))
    assert not any("datamodels" in name for name in names)
    assert plan.verify(experiment, store) == ()


def test_screen_and_page_say_what_was_computed(store: ObjectStore) -> None:
    experiment = compare(store)
    run(store, experiment)
    shown = experiment.shown(store)
    assert any("16 reverse and 96 forward products" in line for line in shown.findings)
    assert any("whole trainings as replicates, 6 of each algorithm" in line for line in shown.findings)
    pages = experiment.pages(store)
    methods = pages["methods.html"].decode()
    assert "estimator metagradient" in methods
    assert "of processor time" in methods
    assert "Signs were flipped in 32 patterns" in methods
    assert "no datamodel was formed" in pages["index.html"].decode()


def test_few_trainings_cannot_be_tested(store: ObjectStore) -> None:
    experiment = compare(store, 2)
    assert any("cannot be tested" in warning for warning in experiment.check())
    summary = run(store, experiment)
    assert summary["products"]["tested"] is False
    assert all(entry["null_p"] is None and not entry["significant"] for entry in summary["directions"])
    assert any("cannot be tested" in line for line in experiment.shown(store).findings)
    assert experiment.shown(store).tables[0].rows[0]["null p"] == "cannot be tested"
    assert "Cannot be tested" in experiment.pages(store)["methods.html"].decode()
    assert plan.verify(experiment, store) == ()


def test_a_previews_trainings_count_toward_a_full_comparison(store: ObjectStore) -> None:
    asked = {"trainings": 2, "probes": 4, "components": 2, "top": 5}
    previewed = Preview(PreviewStudy.parse({**content(), "experiment": "preview", "preview": asked}))
    pairs = [previewed.pair, *(compare(store, count).comparison.pair for count in (2, 6))]
    assert all(isinstance(pair, MatrixFree) for pair in pairs)
    assert len({pair.basis.product.reference for pair in pairs}) == 1
    assert pairs[0].directions == pairs[1].directions != pairs[2].directions


@pytest.mark.nightly
def test_a_killed_comparison_goes_on_with_the_same_bits(store: ObjectStore, tmp_path: Any) -> None:
    run(store, compare(store))
    other = local(tmp_path)
    written: list[str] = []
    original = products.write_products

    def interrupted(at: ObjectStore, product: Any, *rest: Any) -> None:
        written.append(product.reference.record)
        if len(written) == 9:
            raise KeyboardInterrupt
        original(at, product, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "write_products", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(other, compare(other))
    assert any("forward" in key and not other.exists(key) for key in written)
    run(other, compare(other))
    first, second = compare(store), compare(other)
    assert first.digest == second.digest
    for product in (*first.comparison.pair.products, first.comparison.pair.basis.product):
        assert store.read(product.reference.record) == other.read(product.reference.record)
    for key in (first.comparison.pair.directions.record, first.summary.record):
        assert store.read(key) == other.read(key)


def test_a_diverged_training_leaves_with_its_partner(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read_finite

    def one_diverged(at: ObjectStore, product: Any) -> np.ndarray | None:
        return None if "forward-00003" in product.reference.record else original(at, product)

    monkeypatch.setattr("modeldiff_core.stages.matrix_free.read_finite", one_diverged)
    experiment = compare(store, 7, top=4)
    summary = run(store, experiment)
    assert summary["products"]["left_out"] == [3]
    assert summary["products"]["smallest_p"] == 1 / 32
    assert any("1 pair of trainings left out" in line for line in experiment.shown(store).findings)
    assert "1 pairs were left out" in experiment.pages(store)["methods.html"].decode()


def test_what_trainings_cannot_give_is_refused(store: ObjectStore) -> None:
    sklearn = {"algorithm_b": {"name": "other", "kind": "sklearn", "recipe": {}}}
    with pytest.raises(ConfigError, match=r"algorithm_b.kind: .*differentiated"):
        compare(store, changes=sklearn).check()
    with pytest.raises(ConfigError, match=r"comparison.components: expected at most 8"):
        compare(store, components=9).check()
    with pytest.raises(ConfigError, match=r"regression.also"):
        compare(store, changes={"regression": {"also": ["ridge"]}}).check()
    with pytest.raises(ConfigError, match=r"verdict"):
        compare(store, changes={"verdict": {"margin": 0.1}}).check()
    with pytest.raises(ConfigError, match=r"comparison.hypothesis"):
        compare(store, hypothesis="identical")
    study = CounterfactualStudy.parse({**content(), "experiment": "counterfactual"})
    with pytest.raises(ConfigError, match=r"comparison.method"):
        Counterfactual.of(study, store).check()


def test_other_methods_are_written_as_before() -> None:
    for method in ("pca", "contrast"):
        assert "matrix_free" not in parse_study({**CONTENT, "comparison": {"method": method}}).comparison.model_dump()
    kept = parse_study(content()).comparison.model_dump()
    assert kept["matrix_free"]["trainings"] == 6
    assert "permutations" not in kept
