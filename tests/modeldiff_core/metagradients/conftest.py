"""Trainings of every kind on a tiny data set."""

import pytest

from modeldiff_core.data import Examples
from modeldiff_core.training import Task
from modeldiff_core.training.sgd import Sgd
from tests.modeldiff_core.metagradients.cases import CLASSES, RECIPES, TARGETS, TRAIN, examples


@pytest.fixture(params=RECIPES.values(), ids=list(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Sgd:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def train() -> Examples:
    return examples(TRAIN, 0)


@pytest.fixture(scope="session")
def targets() -> Examples:
    return examples(TARGETS, 1)


@pytest.fixture
def task(recipe: Sgd, train: Examples, targets: Examples) -> Task:
    return Task(recipe, 5, train, targets, CLASSES)
