"""A candidate as configured becomes the transformation, or an error that names the field at fault."""

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import Transformation, TransformationTest, build
from modeldiff_core.transformations.filters import Blur, Noise
from modeldiff_core.transformations.library import Chain
from modeldiff_core.transformations.patches import Patch, Stamp, WatermarkPatch

BLOCK = {"top": 1, "left": 2, "height": 3, "width": 2}


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        ("watermark", BLOCK, WatermarkPatch(1, 2, 3, 2)),
        ("patch", BLOCK | {"value": [1, 2, 3]}, Patch(1, 2, 3, 2, (1, 2, 3))),
        ("patch", BLOCK | {"value": 7}, Patch(1, 2, 3, 2, 7)),
        ("blur", {"sigma": 2}, Blur(2.0)),
        ("noise", {}, Noise()),
    ],
)
def test_parameters_become_settings(kind: str, parameters: dict[str, object], expected: Transformation) -> None:
    assert build(TransformationTest("mark", kind, parameters=parameters), (8, 8, 3)) == expected


def test_a_chain_is_built_step_by_step() -> None:
    steps = [{"kind": "noise"}, {"kind": "patch", "parameters": {**BLOCK, "value": 7}}]
    assert build(TransformationTest("both", "chain", parameters={"steps": steps}), (8, 8, 3)) == Chain(
        (Noise(), Patch(1, 2, 3, 2, 7))
    )


def test_a_stamp_is_made_of_nested_lists() -> None:
    stamp = build(
        TransformationTest("s", "stamp", parameters={"top": 0, "left": 1, "pixels": [[1, [2, 3, 4]]]}), (8, 8, 3)
    )
    assert stamp == Stamp(0, 1, ((1, (2, 3, 4)),))


@pytest.mark.parametrize(
    ("kind", "parameters", "key", "said"),
    [
        ("sparkle", {}, "transformations.mark.kind", "watermark"),
        ("blur", {"radius": 1}, "transformations.mark.parameters.radius", "sigma"),
        ("blur", {"sigma": "wide"}, "transformations.mark.parameters.sigma", "float"),
        ("blur", {"sigma": True}, "transformations.mark.parameters.sigma", "float"),
        ("blur", {"sigma": float("nan")}, "transformations.mark.parameters.sigma", "float"),
        ("blur", {"sigma": -1.0}, "transformations.mark.parameters.sigma", "more than 0"),
        ("patch", BLOCK | {"top": 1.5}, "transformations.mark.parameters.top", "int"),
        ("patch", BLOCK | {"value": [1, 2]}, "transformations.mark.parameters.value", "tuple[int, int, int]"),
        ("patch", BLOCK | {"value": [1, 2, "3"]}, "transformations.mark.parameters.value", "tuple[int, int, int]"),
        ("patch", {"top": 1, "left": 2, "height": 3}, "transformations.mark.parameters.width", "no default"),
        ("chain", {"steps": [{"kind": "sparkle"}]}, "transformations.mark.parameters.steps.0.kind", "watermark"),
        (
            "chain",
            {"steps": [{"kind": "noise"}, {"kind": "blur", "parameters": {"sigma": -1}}]},
            "transformations.mark.parameters.steps.1.parameters.sigma",
            "more than 0",
        ),
        (
            "chain",
            {"steps": [{"kind": "blur", "parameters": None}]},
            "transformations.mark.parameters.steps.0.parameters",
            "settings by their names",
        ),
        ("blur", {"sigma": 8.5}, "transformations.mark.parameters.sigma", "at most the 8 pixels"),
        ("chain", {"steps": [{"sort": "blur"}]}, "transformations.mark.parameters.steps.0", "{kind, parameters}"),
        ("stamp", {"top": 0, "left": 0, "pixels": [[0.5]]}, "transformations.mark.parameters.pixels", "tuple"),
        (
            "stamp",
            {"top": 7, "left": 0, "pixels": [[1], [2]]},
            "transformations.mark.parameters",
            "a block inside 8×8 images",
        ),
        ("texture", {"low": 0.01, "high": 0.02}, "transformations.mark.parameters.high", "8×8 images can hold"),
        ("patch", BLOCK | {"top": 6}, "transformations.mark.parameters", "a block inside 8×8 images"),
    ],
)
def test_a_wrong_candidate_is_refused(kind: str, parameters: dict[str, object], key: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(TransformationTest("mark", kind, parameters=parameters), (8, 8, 3))
    assert caught.value.key == key
    assert said in str(caught.value)


@pytest.mark.parametrize("intensities", [(), (0.5, 0.5), (1.0, 0.5), (0.5, 1.5), (-0.1, 1.0), (0.0,), (float("nan"),)])
def test_intensities_must_increase_within_0_and_1(intensities: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        TransformationTest("mark", "blur", intensities=intensities)
    assert caught.value.key == "transformations.mark.intensities"


def test_a_name_and_a_class_that_can_be_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="a name for each"):
        TransformationTest("", "blur")
    with pytest.raises(ConfigError) as caught:
        TransformationTest("mark", "blur", target_class=-1)
    assert caught.value.key == "transformations.mark.target_class"
