"""A pipeline of scikit-learn as a learning algorithm of tables: ``kind: pipeline``."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Real

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.examples import Target
from modeldiff_core.data.frames import as_frame
from modeldiff_core.data.kinds import PICTURES, Column, Inputs, Kind, Table
from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.identity import generator
from modeldiff_core.training.estimators import made
from modeldiff_core.training.protocol import Execution
from modeldiff_core.training.sklearn_logits import LOWEST_PROBABILITY, logits_of
from modeldiff_core.training.unstored import Unstored, UnstoredModels

STATE = "random_state"
TRIED = 100
"""Examples that steps are tried on before anything is trained."""
LONGEST = 300
"""Characters of a library's message that an error repeats."""


@dataclass(frozen=True)
class Readied:
    """What a pipeline knows of the examples that it was made ready for. few, asked: some to try it on."""

    kind: Kind
    target: Target | None
    few: Examples | None = None
    asked: Examples | None = None


IMAGES_OF_CLASSES = Readied(PICTURES, None)


@dataclass(frozen=True)
class Pipeline(Unstored):
    """Steps of scikit-learn, one after the other; the last one is a classifier or a regressor.

    Attributes:
        steps: Each a ``kind``, the name of a class of scikit-learn or an import path ``module:Class``, and its
            ``parameters``; `random_state`, if a step takes one and none is given, is drawn from (seed, model).
        ignore: Columns of a table that the pipeline does not see.
        one_hot: Give columns of text as a column of 0 and 1 for each category, ``column=category``; else as they are,
            of pandas' type ``category``, for a pipeline with a step that takes them.
    """

    kind: ClassVar[str] = "pipeline"
    steps: tuple[Mapping[str, object], ...] = ({"kind": "StandardScaler"}, {"kind": "LogisticRegression"})
    ignore: tuple[str, ...] = ()
    one_hot: bool = True

    def __post_init__(self) -> None:
        if not self.steps:
            raise ConfigError("recipe.steps", "one step or more, the last of which predicts", list(self.steps))
        self.make(0)

    @property
    def readied(self) -> Readied:
        """What it was made ready for; images of classes before that."""
        found: Readied = self.__dict__.get("_readied", IMAGES_OF_CLASSES)
        return found

    def make(self, state: int) -> Any:
        """Return the pipeline unfitted; every step without a random_state of its own has this one."""
        from sklearn.pipeline import Pipeline as Steps

        found = []
        for at, step in enumerate(self.steps):
            estimator = made(step, f"recipe.steps.{at}")
            for name, value in estimator.get_params().items():
                if name.rpartition("__")[2] == STATE and value is None:
                    estimator.set_params(**{name: state})
            found.append((f"{at}", estimator))
        for at, (_, estimator) in enumerate(found[:-1]):
            if not hasattr(estimator, "transform"):
                name = type(estimator).__name__
                raise ConfigError(f"recipe.steps.{at}.kind", "a step that transforms, before the last", name)
        return Steps(found)

    def identity(self) -> dict[str, object]:
        """Return the settings that decide the numbers."""
        return {"steps": list(self.steps), "ignore": list(self.ignore), "one_hot": self.one_hot}

    def on(self, data: Dataset) -> "Pipeline":
        """Return the pipeline for these examples.

        Raises ConfigError for a column to ignore that is not there, and for a last step that does not predict what
        the data set holds.
        """
        names = data.kind.names if isinstance(data.kind, Table) else ()
        if not isinstance(data.kind, Table) and data.kind != PICTURES:
            raise ConfigError(
                "kind", f"an algorithm that takes {data.kind.noun}s: token_network or function", "pipeline"
            )
        for name in self.ignore:
            if name not in names:
                raise ConfigError("recipe.ignore", "columns of the table", name, meant(name, names))
        if names and set(names) <= set(self.ignore):
            raise ConfigError("recipe.ignore", "columns that leave some of the table", list(self.ignore))
        last = self.make(0)[-1]
        able = hasattr(last, "predict_proba") or hasattr(last, "decision_function")
        at = f"recipe.steps.{len(self.steps) - 1}.kind"
        name = type(last).__name__
        if data.target is None and not able:
            raise ConfigError(at, "a classifier with predict_proba or decision_function", name)
        if data.target is not None and (able or not hasattr(last, "predict")):
            raise ConfigError(at, f"a regressor, since {data.target.name!r} is a number", name)
        ready = copy(self)
        object.__setattr__(ready, "_readied", Readied(data.kind, data.target, _few(data.train), data.test.first(TRIED)))
        return ready

    def check(self, image_shape: tuple[int, int, int], n_classes: int) -> None:
        """Raise ConfigError, with what scikit-learn says, for steps that cannot be fitted to some of the examples."""
        few, asked = self.readied.few, self.readied.asked
        if few is None or asked is None:
            return
        try:
            models = self.train(few, n_classes, np.ones((1, len(few)), bool), [0], 0, Execution())
            models.logits(asked.images)
        except Exception as error:  # whatever a step raises
            said = f"{type(error).__name__}: {error}"
            unknown = "unknown categories" in said
            hint = "A subset may lack a category: handle_unknown='ignore', or one_hot=true" if unknown else ""
            expected = f"steps that can be fitted to these {few.kind.noun}s"
            raise ConfigError("recipe.steps", expected, " ".join(said.split())[:LONGEST], hint) from error

    def train(
        self,
        examples: Examples,
        n_classes: int,
        masks: Bool[np.ndarray, "models train"],
        models: Sequence[int],
        seed: int,
        execution: Execution,
    ) -> "PipelineModels":
        """Fit one pipeline per mask."""
        rows, labels = self.rows(examples.images), self._labels(examples)
        fitted = []
        for mask, model in zip(masks, models, strict=True):
            one = self.make(int(generator("initialisation", seed, int(model)).integers(2**31)))
            fitted.append(one.fit(rows[mask], labels[mask]))
        return PipelineModels(self, tuple(fitted), n_classes)

    def rows(self, inputs: Inputs) -> Any:
        """Return examples as the pipeline takes them: a data frame of a table, rows of 0..1 of images."""
        kind = self.readied.kind
        if not isinstance(kind, Table):
            return inputs.reshape(len(inputs), -1).astype(np.float32) / 255
        kept = [at for at, name in enumerate(kind.names) if name not in self.ignore]
        seen = Table(tuple(kind.columns[at] for at in kept)), inputs[:, :, kept]
        return as_frame(*(_one_hot(*seen) if self.one_hot else seen))

    def _labels(self, examples: Examples) -> Real[np.ndarray, " train"]:
        """Return classes, or numbers in their own unit, since penalties of regressors depend on it."""
        target = self.readied.target
        return examples.labels if target is None else target.mean + target.deviation * examples.labels


def _few(examples: Examples) -> Examples:
    """Return some of the examples, of all classes."""
    order = np.argsort(examples.labels, kind="stable")
    return examples.select(order[np.unique(np.linspace(0, len(order) - 1, TRIED).astype(np.int64))])


def _one_hot(table: Table, inputs: Inputs) -> tuple[Table, Float[np.ndarray, "examples height wider channels"]]:
    """Return the table with a column of 0 and 1 for each category in the place of columns of text."""
    columns: list[Column] = []
    values = []
    for at, column in enumerate(table.columns):
        own = inputs[:, :, at : at + 1]
        if column.categories:
            columns += [Column(f"{column.name}={category}") for category in column.categories]
            values.append((own == np.arange(len(column.categories))[None, None, :, None]).astype(np.float64))
        else:
            columns.append(column)
            values.append(own)
    return Table(tuple(columns)), np.concatenate(values, axis=2)


@dataclass(frozen=True)
class PipelineModels(UnstoredModels):
    """Fitted pipelines, one per model."""

    pipeline: Pipeline
    fitted: tuple[Any, ...]
    n_classes: int

    def logits(self, images: Inputs) -> Float[np.ndarray, "models targets classes"]:
        """Return logits of ``sklearn_logits.logits_of``, the lowest for classes that a model never saw; of a number the
        prediction in the standard deviations of its Target.
        """
        rows = self.pipeline.rows(images)
        target = self.pipeline.readied.target
        out = np.zeros((len(self.fitted), len(images), self.n_classes), np.float32)
        for row, one in enumerate(self.fitted):
            if target is not None:
                out[row, :, 0] = (np.asarray(one.predict(rows)).reshape(-1) - target.mean) / target.deviation
                continue
            scores = logits_of(one[-1], one[:-1].transform(rows) if len(one) > 1 else rows)
            out[row] = np.minimum(np.log(LOWEST_PROBABILITY), scores.min(axis=1, keepdims=True))
            out[row][:, one.classes_] = scores
        return out
