"""Keys, digests, masks and numbers of studies stay what they were: golden files, see ``benchmarks/golden.py``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import golden_keys
from harness.golden_files import FIRST_MASKS, NUMBERED, Golden, differences, read_golden, split, stored_numbers
from modeldiff_core.study import parse_study
from modeldiff_core.study.adopted import AdoptedStudy
from tests.modeldiff_core.stages.studies import local

WHOLE = "digits_watermark", "digits_null"
ADOPTED = "adopted_margins", "adopted_scores"
LEAST_KEYS = {"adopted_margins": 60, "adopted_scores": 10}
"""Static keys that a golden file must have at least, where that is not 100."""
NAMES = (*WHOLE, *NUMBERED, "rounds", *ADOPTED)
LATER: dict[str, object] = {"output": "margin", "subsets.seeds": 1, "verdict": {"margin": 0.0, "fail_on": []}}
"""Settings of a comparison that came after the files were made, with their defaults."""


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_are_not_trivial(name: str) -> None:
    golden = read_golden(name)
    assert len(golden.static) == len(set(golden.static)) > LEAST_KEYS.get(name, 100)
    assert len(golden.digests) > 5
    assert all(len(digest) == 64 for digest in golden.digests.values())
    assert golden.digests.keys() <= set(golden.static)
    assert any("/report/tables/" in key for key in golden.dependent)
    found = [key for key in golden.dependent if key.startswith("comparisons/subpopulations-")]
    assert bool(found) == (name != "digits_null")
    if name in ADOPTED:
        assert golden.adopted is not None
        return
    assert len(golden.masks) == 2
    assert all(len(set(sums)) == FIRST_MASKS for sums in golden.masks.values())
    if name in WHOLE:
        assert golden.studies[0]["subsets"]["models"] == 2000
    if name not in NUMBERED:
        return
    arrays = [(key, of, np.array(values)) for key, named in golden.numbers.items() for of, values in named.items()]
    assert len(arrays) > 30
    for key, of, values in arrays:
        assert "/effects-" in key or np.count_nonzero(values) > min(3, len(values) - 1), (key, of)
    assert any(values.any() for key, _, values in arrays if "/effects-" in key)


def without_later_settings(study: dict[str, Any]) -> dict[str, Any]:
    """The settings that there were when the files were made; those that came later have to be at their defaults."""
    later = {"output": study["output"], "subsets.seeds": study["subsets"]["seeds"], "verdict": study["verdict"]}
    assert later == LATER
    subsets = {name: value for name, value in study["subsets"].items() if name != "seeds"}
    return {name: value for name, value in {**study, "subsets": subsets}.items() if name not in LATER}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_spelled_out(name: str) -> None:
    golden = read_golden(name)
    for study in golden.studies:
        assert without_later_settings(parse_study(study).model_dump(mode="json")) == study
    if golden.adopted is not None:
        study = golden.adopted["study"]
        assert AdoptedStudy.model_validate(study).model_dump(mode="json") == study


@pytest.mark.parametrize("name", WHOLE)
def test_conf_composes_to_the_settings(name: str) -> None:
    assert without_later_settings(golden_keys.composed(name)) == read_golden(name).studies[0]


@pytest.mark.parametrize("name", NAMES)
def test_keys_digests_and_masks_follow_from_the_settings_alone(name: str) -> None:
    golden = read_golden(name)
    assert golden_keys.static_keys(golden) == golden.static
    assert golden_keys.digests(golden) == golden.digests
    assert golden_keys.masks(golden) == golden.masks


def test_another_setting_gives_other_keys() -> None:
    golden = read_golden("counterfactual")
    (study,) = golden.studies
    changed = {**study, "comparison": {**study["comparison"], "seed": 1}}
    other = Golden(**{**vars(golden), "studies": [changed]})
    assert golden_keys.static_keys(other) != golden.static


def test_stored_keys_and_numbers_are_those_of_the_golden_files(tmp_path: Path) -> None:
    store = local(tmp_path)
    goldens = [read_golden(name) for name in NUMBERED]
    for golden in goldens:
        golden_keys.complete(store, golden)
    static, _ = split(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert static == sorted({key for golden in goldens for key in golden.static})
    for golden in goldens:
        assert differences(golden.numbers, stored_numbers(store, golden.static)) == []
