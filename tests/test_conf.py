"""The YAML files and the classes that they fill: a default stands in the class alone, and each is composed with it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modeldiff_core.data import SOURCES
from modeldiff_core.settings import build_settings
from modeldiff_core.study import build_estimator, parse_study
from modeldiff_core.study.counterfactual import CounterfactualConfig
from modeldiff_platform.conf.defaults import TO_BE_GIVEN, all_defaults
from modeldiff_platform.flows.cli.compose import composed, request

CONF = Path(__file__).parents[1] / "conf"
STUDIES = sorted(path.stem for path in (CONF / "study").glob("*.yaml") if "\nexperiment:" not in path.read_text())
"""Those of comparisons."""
PARTS = (
    "subsets",
    "ensemble",
    "regression",
    "comparison",
    "effects",
    "search",
    "verdict",
    "counterfactual",
    "removal",
    "preview",
    "store",
    "dataset",
)
FILES = sorted(f"{part}/{path.stem}" for part in PARTS for path in (CONF / part).glob("*.yaml"))
GIVEN = {"folder": "/x", "path": "/x", "root": "/x", "target": "/x"}
STUDY_GIVEN = {
    **dict.fromkeys(("living17_augmentation", "cifar10_sgd_noise", "cifar10_sgd_noise_middle"), ("dataset.folder=/x",)),
    "waterbirds_pretraining": ("dataset.folder=/x", f"algorithm_a.recipe.network.init={__file__}"),
}
"""What the user of a study has to give."""


def stated(name: str) -> tuple[str, dict[str, Any]]:
    """The name of the defaults that a file begins with, and what it says itself."""
    content = yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8"))
    first = content.pop("defaults")[0]
    assert first.startswith("/defaults/")
    assert first.endswith("@_here_")
    return first.removeprefix("/defaults/").removesuffix("@_here_"), content


def overrides(part: str, name: str) -> list[str]:
    """What a command says to take that file, with values for what has no default."""
    defaults, own = stated(f"{part}/{name}")
    missing = [key for key, value in {**all_defaults()[defaults], **own}.items() if value == TO_BE_GIVEN]
    added = "+" if part in ("counterfactual", "preview", "removal") else ""
    return [f"{added}{part}={name}", *(f"{part}.{key}={GIVEN[key]}" for key in missing)]


def test_all_parts_are_looked_at() -> None:
    assert len(FILES) == 39
    assert {name.split("/")[0] for name in FILES} == set(PARTS)
    assert len(STUDIES) >= 7


@pytest.mark.parametrize("name", FILES)
def test_a_file_states_only_what_differs_and_is_composed_with_its_classes_defaults(name: str) -> None:
    defaults, own = stated(name)
    expected = all_defaults()[defaults]
    assert own.keys() <= expected.keys(), "a setting that the class does not have"
    assert [key for key, value in own.items() if value == expected[key]] == []
    part, _, file = name.partition("/")
    found = composed(["study=digits_watermark", *overrides(part, file)])[part]
    given = {key: GIVEN[key] for key, value in {**expected, **own}.items() if value == TO_BE_GIVEN}
    assert found == {**expected, **own, **given}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_without_the_defaults_of_its_parts_is_the_same(name: str) -> None:
    """As someone writes it who gives the classes nothing but what the files and the study state."""
    given = STUDY_GIVEN.get(name, ())
    whole = request([f"study={name}", *given])
    content = yaml.safe_load((CONF / f"study/{name}.yaml").read_text("utf-8"))
    spare = composed([f"study={name}", *given])
    if given:
        content["dataset"] = {**content.get("dataset", {}), "folder": "/x"}
    for entry in content["defaults"]:
        for group, file in entry.items() if isinstance(entry, dict) else ():
            part = group.strip("/")
            if part in PARTS:
                spare[part] = {**stated(f"{part}/{file}")[1], **content.get(part, {})}
    kind = whole.study.dataset.kind
    spare["dataset"] = {"kind": kind, **spare["dataset"]}
    tests = spare.pop("transformations")
    spare["transformations"] = [{"name": name, **settings} for name, settings in tests.items()]
    study = parse_study({key: value for key, value in spare.items() if key not in ("store", "runner")})
    same = {"regression", "dataset"}
    assert study.model_dump(exclude=same) == whole.study.model_dump(exclude=same)
    for estimator in ("lasso", "ridge", "trak"):
        one, other = (build_estimator(s.regression, estimator) for s in (study, whole.study))
        assert one == other
    source = SOURCES.get(kind)
    one, other = (build_settings(source, s.dataset.options(), "dataset") for s in (study, whole.study))
    assert one == other


def test_a_default_can_be_overridden_on_the_command_line() -> None:
    numbers = ["subsets.rounds.growth=1.5", "regression.n_lambdas=6", "search.share=0.1"]
    study = request(["study=digits_watermark", *numbers, "regression.settings.ridge.seed=3"]).study
    assert (study.subsets.rounds.growth, study.regression.n_lambdas, study.search.share) == (1.5, 6, 0.1)
    assert study.regression.settings["ridge"]["seed"] == 3


def test_the_counterfactual_check_is_composed_as_its_class_says() -> None:
    content = composed(["study=digits_watermark"], "+counterfactual=standard")["counterfactual"]
    assert CounterfactualConfig.model_validate(content) == CounterfactualConfig()
