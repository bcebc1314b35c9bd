"""A default that changes makes another key; as long as none has, keys are those of what a study states."""

from dataclasses import MISSING, dataclass, fields

import pytest

from modeldiff_core.identity import plain
from modeldiff_core.transformations import TRANSFORMATIONS, TransformationTest
from modeldiff_core.transformations.defaults import FIRST, changed_defaults, identity_of
from modeldiff_core.transformations.filters import Blur


def test_the_defaults_that_ship_are_the_first_ones() -> None:
    """A change on purpose changes keys, and belongs into the changelog: then the parameter is left out here by name."""
    assert FIRST.keys() == TRANSFORMATIONS._builtin.keys()
    for kind, first in FIRST.items():
        known = {field.name: field for field in fields(TRANSFORMATIONS.get(kind)) if field.init}  # type: ignore[arg-type]
        given = {n for n, f in known.items() if f.default is not MISSING or f.default_factory is not MISSING}
        assert first.keys() == given
        assert changed_defaults(kind, {}) == {}


def test_what_a_study_states_is_its_identity_while_no_default_has_changed() -> None:
    test = TransformationTest("soft", "blur", 3, (0.5, 1.0), {})
    assert identity_of(test) == {"kind": "blur", "target_class": 3, "intensities": [0.5, 1.0], "parameters": {}}


@dataclass(frozen=True)
class Softer(Blur):
    """Blur with another default, and a new parameter."""

    sigma: float = 2.0
    edges: str = "mirrored"


def test_a_changed_default_is_told_apart_where_it_is_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {
        "steps": [{"kind": "grey"}, {"kind": "blur", "parameters": {}}, {"kind": "blur", "parameters": {"sigma": 1}}]
    }
    before = [identity_of(TransformationTest("x", "blur", parameters=given)) for given in ({}, {"sigma": 1.0})]
    assert changed_defaults("chain", chain) == {}
    monkeypatch.setitem(TRANSFORMATIONS._builtin, "blur", Softer)
    assert changed_defaults("blur", {}) == {"sigma": 2.0, "edges": "mirrored"}
    assert changed_defaults("blur", {"sigma": 1.0, "edges": "cut"}) == {}
    assert changed_defaults("chain", chain) == {
        "steps.1.edges": "mirrored",
        "steps.1.sigma": 2.0,
        "steps.2.edges": "mirrored",
    }
    after = [
        identity_of(TransformationTest("x", "blur", parameters=given)) for given in ({}, {"sigma": 1.0, "edges": "a"})
    ]
    assert before[0] != after[0]
    assert "defaults" not in after[1]
    monkeypatch.setitem(FIRST, "blur", {"sigma": 1.0, "edges": "mirrored"})  # type: ignore[arg-type]
    assert changed_defaults("blur", {"sigma": 1.0}) == {}, "the new parameter, once it is listed"
    assert plain(before) == before


def test_a_kind_of_ones_own_has_no_first_defaults() -> None:
    assert changed_defaults("of_ones_own", {}) == {}
