"""A user's own algorithm: a training function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modeldiff_core.errors import ConfigError
from modeldiff_core.study.config import AlgorithmConfig
from modeldiff_core.training.estimators import described as described_estimator
from modeldiff_core.training.estimators import is_estimator
from modeldiff_core.training.functions import KIND, Described, Form, FunctionAlgorithm, describe, register

Train = Callable[..., Any]


@dataclass(frozen=True)
class Algorithm:
    """A training function and what people call it.

    Attributes:
        train: ``train(images, labels, seed)`` returns a ``torch.nn.Module``, a scikit-learn classifier, or a callable
            that gives logits. Images are as ``Data`` was given them; so are data frames. Or an estimator of
            scikit-learn, such as a pipeline, which is fitted again for each subset.
        name: For people; the function's own name if not given.
        arguments: Further arguments of the function, as plain values; part of what its results are known by. Of an
            estimator ``ignore``: columns that it does not see.
        version: Raise it when the function changes, or when it captures what cannot be told apart by itself.
        seed: Of all its models.

    """

    train: Train
    name: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    version: str | int = ""
    seed: int = 0

    def __post_init__(self) -> None:
        given: Any = self.train
        if isinstance(given, type) or not (callable(given) or is_estimator(given)):
            got = self.train.__name__ if isinstance(self.train, type) else type(self.train).__name__
            raise ConfigError("train", "a function of images, labels and a seed, or an estimator of scikit-learn", got)
        object.__setattr__(self, "version", str(self.version))

    @property
    def identity(self) -> dict[str, Any]:
        """What results are known by: the function's lines, arguments, defaults and captured values, and its version."""
        described = self.described
        return {
            "function": described.path,
            "sources": dict(described.sources),
            "values": dict(described.values),
            "arguments": dict(self.arguments),
            "libraries": dict(described.libraries),
            "version": str(self.version),
            **({"not told apart": dict(described.unstable)} if described.unstable else {}),
        }

    @property
    def described(self) -> Described:
        """What the function is made of."""
        if is_estimator(self.train):
            return _of_estimator(self.train)
        return describe(self.train)

    @property
    def elsewhere(self) -> bool:
        """Whether other processes can import the function."""
        return self.described.importable

    def config(self, name: str, form: Form) -> AlgorithmConfig:
        """Return its part of a study, checked; raises ConfigError for what cannot be told apart."""
        if is_estimator(self.train):
            steps = {**pipeline_recipe(self.train), "ignore": list(self.arguments.get("ignore", ()))}  # type: ignore[call-overload]
            return AlgorithmConfig(name=name, kind="pipeline", seed=self.seed, recipe=steps)
        described = self.described
        token = "" if described.importable else register(self.train)
        recipe: dict[str, Any] = {
            "train_function": described.path,
            "arguments": dict(self.arguments),
            "version": str(self.version),
            "form": {
                "library": form.library,
                "dtype": form.dtype,
                "axes": form.axes,
                "low": form.low,
                "high": form.high,
            },
            "token": token,
        }
        made = FunctionAlgorithm(**{**recipe, "form": form})
        return AlgorithmConfig(
            name=name, kind=KIND, seed=self.seed, recipe={**recipe, "values": dict(made.values or {})}
        )


def _of_estimator(estimator: Any) -> Described:
    """Return what an estimator is made of; its class is importable, and its parameters are part of the study."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    name, cls = type(last).__name__, type(estimator)
    path, values = f"{cls.__module__}:{cls.__qualname__}", {"estimator": described_estimator(estimator)}
    return Described(name, path, "an estimator of scikit-learn", True, {}, values, {}, {})


CATEGORICAL = "ColumnTransformer", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"
"""Steps that take columns of text themselves."""


def pipeline_recipe(estimator: Any) -> dict[str, Any]:
    """Return the recipe of kind ``pipeline`` of an estimator; columns of text become 0 and 1 if none of its steps takes
    them. Raises ConfigError for a parameter that a study cannot hold.
    """
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    found = [described_estimator(step) for step in steps if step is not None and not isinstance(step, str)]
    return {"steps": found, "one_hot": not any(kind in str(found) for kind in CATEGORICAL)}


def as_algorithm(given: "Algorithm | Train") -> Algorithm:
    """Return an algorithm, of a function or an estimator alone with nothing else said."""
    return given if isinstance(given, Algorithm) else Algorithm(given)
