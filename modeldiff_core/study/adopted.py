"""Settings of results that were made elsewhere: to adopt them, to export them, to compare them."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from modeldiff_core.errors import ConfigError
from modeldiff_core.margins.screening import Choice
from modeldiff_core.settings import Settings, config_error
from modeldiff_core.study.config import ComparisonConfig, DatasetConfig, RegressionConfig

Orientation = Literal["targets_train", "train_targets"]
"""Which axis of attributions comes first. Ours is targets_train; published dictionaries are train_targets."""

Rows = Literal["refuse", "leave_out", "keep"]
"""What becomes of rows that were never written."""

Split = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
"""The first word of the name of a file of margins."""

S = TypeVar("S", bound=Settings)


class Adoption(Settings):
    """Margins and masks (`folder`, or `masks` and `margins`) or attributions (`scores`) of one algorithm.

    dataset: the examples behind them; if given, sizes are checked against it. orientation: of `scores`. unfinished:
    rows that were never written. copies: rows whose mask and margins are those of an earlier row. wild, strange: see
    margins.screening.Screening. split: of a folder in the layout of COAR's public code, whose margins are those of
    SPLIT_margins.npy and whose columns are components. against: the key of margins that adopted scores are to predict.
    """

    name: str = Field(min_length=1, max_length=80)
    dataset: DatasetConfig | None = None
    folder: str | None = None
    masks: str | None = None
    margins: str | None = None
    scores: str | None = None
    orientation: Orientation | None = None
    unfinished: Rows = "refuse"
    copies: Literal["leave_out", "keep"] = "leave_out"
    wild: Choice = "leave_out"
    strange: Choice = "name"
    split: Split | None = None
    against: str | None = None


class Export(Settings):
    """A matrix or datamodels of the store, to a folder or a file that is not there yet.

    published: [train, targets]. split: a matrix in the layout of COAR's public code, as SPLIT_margins.npy.
    """

    key: str = Field(min_length=1)
    to: str = Field(min_length=1)
    published: bool = False
    split: Split | None = None


class ExamplesConfig(Settings):
    """What is known of the examples of one axis: files at paths or URLs, each with a row an example.

    table: .csv, .json or .npz; its column `label` holds classes, all others are metadata. images: .npy of uint8
    [examples, height, width, channels].
    """

    table: str | None = None
    images: str | None = None


class AdoptedStudy(Settings):
    """Two stored matrices of margins, or two stored sets of attributions, and how they are compared.

    a, b: keys in the store. dataset: the examples behind them; or in its place what is known of the targets and of the
    training examples, and the names of the classes whose indices are in the tables.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    a: str = Field(min_length=1)
    b: str = Field(min_length=1)
    dataset: DatasetConfig | None = None
    targets: ExamplesConfig = ExamplesConfig()
    train: ExamplesConfig = ExamplesConfig()
    classes: tuple[str, ...] = ()
    evaluation_models: Annotated[int, Field(ge=3)] = 100
    regression: RegressionConfig = RegressionConfig()
    comparison: ComparisonConfig = ComparisonConfig()

    @field_validator("comparison")
    @classmethod
    def _of_margins(cls, settings: ComparisonConfig) -> ComparisonConfig:
        """Refuse a method that takes trainings, which adopted results do not have."""
        if settings.method == "matrix_free":
            hint = "Trainings are differentiated for it, and of adopted results there are none"
            raise ConfigError("comparison.method", "contrast, pca or crossfit", "matrix_free", hint)
        return settings


def parse(settings: type[S], content: dict[str, Any]) -> S:
    """Validated settings; raises ConfigError that names the first key at fault."""
    try:
        return settings.model_validate(content)
    except ValidationError as error:
        raise config_error(error) from error
