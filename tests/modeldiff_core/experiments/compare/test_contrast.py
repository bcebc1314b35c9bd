"""A comparison by a contrast: from margins to the summary and the report, and studies from before there was one."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.compare.contrast_sentences import contrast_sentences
from modeldiff_core.experiments.compare.contrasts import variances_told
from modeldiff_core.plan import survey, verify
from modeldiff_core.stages.contrast import BLOCK, ContrastNull, NullSettings, read_null
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import parse_study
from modeldiff_core.study.config import ComparisonConfig
from tests.modeldiff_core.experiments.compare.summaries import misfits
from tests.modeldiff_core.stages.studies import TINY, local, run, tiny

SETTINGS = {"method": "contrast", "components": 3, "draws": 19, "top": 5}
DIGITS = {"kind": "digits", "n_train": 400, "n_test": 40, "seed": 0, "plant": None}
"""Enough examples that no class is missed by chance."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Comparison]:
    store, comparison = local(tmp_path_factory.mktemp("contrast")), tiny(comparison=SETTINGS)
    run(store, comparison)
    return store, comparison


def test_a_finished_contrast_lacks_nothing_and_is_sound(finished: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = finished
    found = survey(Compare(comparison), store)
    assert not found.missing
    assert not found.awaits
    assert any(step.step.name.startswith("null of direction 1") for known in found.groups().values() for step in known)
    fitted = [key for key in found.keys if "/datamodels-" in key and key.endswith("/record.json")]
    assert len(fitted) == 2, "halves are fitted by the contrast itself"
    assert not verify(Compare(comparison), store)


def test_the_summary_says_how_much_differs_and_how_sure(finished: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = finished
    summary = read_record(store, comparison.summary.record)
    assert misfits(summary) == []
    assert misfits({**summary, "verdict": {**summary["verdict"], "answer": "perhaps"}}) != []
    assert misfits({**summary, "more": 1}) != []
    assert summary["hypothesis"] == "reliance"
    assert [entry["rank"] for entry in summary["directions"]] == [0, 1, 2]
    for entry in summary["directions"]:
        difference = entry["difference"]
        assert difference["low"] < difference["value"] < difference["high"]
        assert 0 < entry["null_p"] <= entry["p_adjusted"] <= 1
    assert summary["total"]["low"] < summary["total"]["value"] < summary["total"]["high"]
    assert summary["verdict"]["answer"] == "undecided"
    assert summary["reaction"]["middle"] > 0
    assert summary["differences"] == []
    assert summary["findings"][0].startswith("No sign that short and long rely on different training examples")


def test_the_report_shows_the_hypothesis_and_the_slopes(finished: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = finished
    page = store.read(comparison.report.record).decode()
    methods = store.read(f"{comparison.folder}/report/methods.html").decode()
    assert "How strongly margins react" in page
    assert "share of all that differs" in page
    assert "E[θ_A,t] = c_t·E[θ_B,t]" in methods
    assert "exchanged at random" not in methods
    assert store.read(f"{comparison.folder}/report/figures/reaction.svg")


def test_draws_that_say_enough_end_early(finished: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = finished
    pair, settings = comparison.pair, NullSettings.of(comparison.study.comparison)
    tested = read_null(store, pair, settings)
    assert tested.complete
    assert len(tested.draws) == 1
    assert len(tested.draws[0]) in (BLOCK, 19)
    more = NullSettings(settings.draws, settings.significance, one_by_one=True)
    assert ContrastNull(pair, 1, 0).reference != ContrastNull(pair, 0, 0).reference
    assert read_null(store, pair, more).complete
    assert not read_null(local("memory://nothing"), pair, settings).complete


def test_a_verdict_can_fail_the_command(finished: tuple[ObjectStore, Comparison]) -> None:
    store, _ = finished
    for fail_on, code in ((["undecided"], 3), ("different", 0), ([], 0)):
        asked = tiny(comparison=SETTINGS, verdict={"fail_on": fail_on})
        assert asked.digest == finished[1].digest
        assert Compare(asked).exit_code(store) == code
    assert tiny(comparison=SETTINGS, verdict={"margin": 0.1}).digest != finished[1].digest
    with pytest.raises(ConfigError, match=r"verdict.*contrast"):
        Compare(tiny(dataset=DIGITS, verdict={"margin": 0.1})).check()


def test_a_study_without_a_method_means_what_it_meant() -> None:
    before = parse_study(TINY)
    assert before.comparison.method == "pca"
    assert before.comparison.hypothesis == "identical"
    written = before.model_dump(mode="json")["comparison"]
    assert "hypothesis" not in written
    assert parse_study(before.model_dump(mode="json")) == before
    assert ComparisonConfig.model_validate({"method": "residual"}) == ComparisonConfig()
    assert "residuals" in Compare(tiny()).remarks()[0]
    assert Compare(tiny(comparison=SETTINGS)).remarks() == []


def test_the_hypothesis_follows_the_method_and_has_to_fit_it() -> None:
    new = ComparisonConfig(method="contrast")
    assert new.hypothesis == "reliance"
    assert ComparisonConfig.model_validate(new.model_dump()) == new
    assert ComparisonConfig(method="contrast", hypothesis="identical").hypothesis == "identical"
    with pytest.raises(ValidationError, match=r"comparison.hypothesis.*contrast"):
        ComparisonConfig(method="pca", hypothesis="reliance")
    with pytest.raises(ConfigError, match=r"comparison.hypothesis"):
        parse_study({**TINY, "comparison": {"method": "residual", "hypothesis": "reliance"}})


def test_too_few_models_and_draws_are_said_before_training() -> None:
    subsets = {"models": 40, "evaluation_models": 10, "seeds": 2, "shard_size": 20}
    with pytest.raises(ConfigError, match=r"subsets.models"):
        Compare(tiny(dataset=DIGITS, comparison=SETTINGS, subsets=subsets)).check()
    few = tiny(dataset=DIGITS, comparison={**SETTINGS, "draws": 5})
    assert any("comparison.draws" in said for said in Compare(few).check())


def told(**changes: Any) -> list[str]:
    """Sentences on a summary with one difference."""
    number = {"value": 0.09, "low": 0.07, "high": 0.1}
    summary: dict[str, Any] = {
        "directions": [
            {
                "side": "a-b",
                "index": 0,
                "ratio": {"value": 4.0, "low": 3.0, "high": None},
                "top_targets": [0, 1],
                "bottom_targets": [2, 3],
            }
        ],
        "differences": [{"side": "a-b", "directions": [0], "share": number, "p_adjusted": 0.01, "transformations": []}],
        "total": {**number, "explained": number},
        "reaction": {"middle": 2.0, "spread": 0.0, "p": 0.4},
        "verdict": {"answer": "different", "margin": 0.05, "models_needed": None},
        "found": [
            {
                "name": "patch",
                "distinguishing": True,
                "class": 1,
                "difference": 0.4,
                "difference_ci": [0.35, 0.45],
                "effect": {"a": 0.4, "b": 0.0},
                "along": [{"side": "a-b", "index": 0}],
            }
        ],
    }
    return contrast_sentences(
        {**summary, **changes}, {"a": "one", "b": "two"}, np.array([1, 1, 0, 1]), ("no", "yes"), True
    )


def test_the_first_sentence_says_who_relies_on_what_where_how_much_and_how_sure() -> None:
    first, explained, reaction, verdict = told()
    assert first == (
        "one relies at least 3.0 times more than two on one group of training examples: the transformation “patch” "
        "changes the probability of class yes by +40.0 points for one and by +0.0 for two (40.0 [35.0, 45.0] points "
        "apart). It shows on test images of class yes (2 of the 2 furthest out). Chance alone would give so large a "
        "difference with p = 0.01."
    )
    assert explained.startswith("This difference explains 9 % [7, 10] of all that A and B rely on differently")
    assert "the other 91 % lies in no direction" in explained
    assert "react 2.00 times as strongly" in reaction
    alike = told(reaction={"middle": 1.04, "spread": 0.0, "p": 0.4})[2]
    assert alike.startswith("On average margins of one react about as strongly as those of two")
    one = {"side": "a-b", "directions": [0], "share": None, "p_adjusted": 0.01, "transformations": []}
    *sentences, explained, _, _ = told(differences=[one] * 4)
    assert len(sentences) == 3
    assert explained.startswith("These and 1 more explain 9 % [7, 10]")
    unseen = told(found=[])[0]
    assert "; no transformation of an image that shows it was confirmed." in unseen
    several = [{"side": "a-b", "directions": [0, 1], "share": None, "p_adjusted": 0.01, "transformations": []}]
    assert "2 directions belong to it." in told(differences=several)[0]
    assert verdict == (
        "Different: what A and B rely on differently was shown to be above 5 % of the squared length of a datamodel."
    )
    undecided = {"answer": "undecided", "margin": 0.05, "models_needed": 1234}
    assert "1,234 models" in told(verdict=undecided)[-1]
    assert told(differences=[])[0].startswith("No sign that one and two rely on different training examples")
    beyond = told(differences=[], total={"value": 2.7, "low": 2.2, "high": 3.2, "explained": None})[0]
    assert beyond.endswith("none stands out from chance, but these models are too few to tell how much could differ.")


def test_variances_of_worse_versions_on_the_other_side_are_not_told() -> None:
    entry = {"side": "a-b", "significant": True, "ratio": None, "explained_variance": {"a": 0.002, "b": 0.009}}
    assert not variances_told(entry)
    assert variances_told({**entry, "side": "b-a"})
    assert variances_told({**entry, "significant": False}), "by chance points lie on both sides"
    assert variances_told({key: value for key, value in entry.items() if key != "ratio"}), "cross-fitted"


def test_sentences_follow_the_interval_and_tell_what_is_there() -> None:
    def relying(low: float | None) -> str:
        entry = {"side": "a-b", "index": 0, "top_targets": [0, 1], "bottom_targets": [2, 3]}
        return told(directions=[{**entry, "ratio": {"value": 1.2, "low": low, "high": None}}])[0]

    for low in (None, 0.95):
        assert relying(low).startswith("one and two rely differently on one group of training examples")
    assert relying(1.1).startswith("one relies more than two on one group")

    def reacting(middle: float, spread: float, p: float) -> str:
        said = told(reaction={"middle": middle, "spread": spread, "p": p})
        return next(sentence for sentence in said if sentence.startswith("On average"))

    for spread in (0.03, 0.3):
        assert "on all images alike as far as can be told" in reacting(1.008, spread, 0.4)
    assert "varies by less than 5 % (p = 0.025)" in reacting(1.008, 0.03, 0.025)
    assert "react 1.60 times as strongly" in reacting(1.6, 0.1, 0.3)
    assert "react about as strongly" in reacting(1.008, 0.1, 0.01)
    assert "varies by 11 % beyond noise" in reacting(1.008, 0.1, 0.01)
    assert "by a factor of 2.0 beyond noise" in reacting(2.0, 0.7, 0.01)
