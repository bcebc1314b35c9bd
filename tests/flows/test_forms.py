"""The form of a deployment, made from the parameters of each experiment's flow: its own settings, and no others."""

from typing import Any

import pytest
from jsonschema import ValidationError, validate
from prefect.utilities.callables import parameter_schema

from harness.small_studies import TINY
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.cli.grid import grid
from modeldiff_platform.flows.experiment import flow_of

COMPARED = {
    "name",
    "dataset",
    "targets",
    "output",
    "algorithm_a",
    "algorithm_b",
    "subsets",
    "ensemble",
    "regression",
    "comparison",
    "transformations",
    "effects",
    "search",
    "screening",
    "verdict",
}
ADOPTED = {"name", "a", "b", "dataset", "targets", "train", "classes", "evaluation_models", "regression", "comparison"}
FORMS = {
    "compare": COMPARED,
    "counterfactual": {*COMPARED, "experiment", "counterfactual"},
    "preview": {*COMPARED, "experiment", "preview"},
    "removal": {*COMPARED, "experiment", "removal"},
    "compare_adopted": ADOPTED,
    "sweep": {"name", "experiment", "points"},
    "league": {*COMPARED, "experiment", "algorithms"} - {"algorithm_a", "algorithm_b"},
}


def form_of(kind: str) -> dict[str, Any]:
    return parameter_schema(flow_of(kind)).model_dump()


def definition(form: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """Return what a property of a form refers to."""
    if "allOf" in shown:
        (shown,) = shown["allOf"]
    found: dict[str, Any] = form["definitions"][shown["$ref"].rpartition("/")[2]]
    return found


@pytest.mark.parametrize("kind", FORMS)
def test_it_holds_the_settings_of_the_experiment_and_no_others(kind: str) -> None:
    form = form_of(kind)
    assert form["properties"].keys() == {"study", "store", "runner"}
    assert set(form["required"]) == {"study", "store", "runner"}
    study = definition(form, form["properties"]["study"])
    assert study["properties"].keys() == FORMS[kind]
    assert study["additionalProperties"] is False
    assert "max_hours" in definition(form, form["properties"]["runner"])["properties"]


def test_the_points_of_a_sweep_are_studies_of_some_experiment() -> None:
    form = form_of("sweep")
    points = {"points": form["definitions"]["SweepPoint"], "definitions": form["definitions"]}
    asked = grid([*TINY, "+sweep.comparison.components=[2,1]"]).study.model_dump(mode="json")["points"]
    checks = grid([*TINY, "+sweep.counterfactual.top_k=[20,30]"], "counterfactual").study.model_dump(mode="json")
    adopted = request(["a=x", "b=y"], "compare_adopted").study.model_dump(mode="json")
    named = {"words": "a=x", "study": {**adopted, "experiment": "compare_adopted"}}
    schema = {"$ref": "#/points", **points}
    for point in (*asked, *checks["points"], named):
        validate(point, schema)
    for wrong in ({"code": "os.system"}, {"subsets": {"models": "many"}}, {"experiment": "os"}):
        with pytest.raises(ValidationError):
            validate({**asked[0], "study": {**asked[0]["study"], **wrong}}, schema)
