"""Candidate transformations as a configuration names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any

from modeldiff_core.data import Examples
from modeldiff_core.data.kinds import Kind
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import exact_settings, exact_value
from modeldiff_core.transformations.library import TRANSFORMATIONS, Transformation, on_examples, taken_by


@dataclass(frozen=True)
class TransformationTest:
    """One candidate whose effect on both algorithms is measured.

    kind: its name in the library; parameters: the settings of that kind. target_class: the class whose probability
    is followed, None for each image's own class. intensities: increasing, in 0..1; the last one decides.
    """

    name: str
    kind: str
    target_class: int | None = None
    intensities: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key = f"transformations.{self.name}"
        if not self.name:
            raise ConfigError("transformations", "a name for each transformation", self.name)
        if self.target_class is not None and self.target_class < 0:
            raise ConfigError(f"{key}.target_class", "the index of a class, or null", self.target_class)
        within = all(0 <= intensity <= 1 for intensity in self.intensities)
        if not self.intensities or not within or list(self.intensities) != sorted(set(self.intensities)):
            raise ConfigError(f"{key}.intensities", "increasing numbers in [0, 1]", list(self.intensities))
        if not self.intensities[-1]:
            raise ConfigError(f"{key}.intensities", "a last one, which decides, of more than 0", list(self.intensities))


def build(test: TransformationTest, image_shape: tuple[int, int, int]) -> Transformation:
    """Return the transformation that a candidate names, checked against images of that height, width and channels.

    Raises ConfigError naming ``transformations.<name>.kind`` or ``transformations.<name>.parameters.<field>``.
    """
    key = f"transformations.{test.name}"
    transformation = _made(test.kind, test.parameters, f"{key}.kind", f"{key}.parameters")
    try:
        transformation.check(image_shape)
    except ConfigError as error:
        raise _moved(error, f"{key}.parameters") from error
    return transformation


def build_on(test: TransformationTest, examples: Examples) -> Transformation:
    """Return the transformation that a candidate names, checked against the examples that it will be given.

    Raises ConfigError like `build`, and where the examples lack what it needs, such as masks.
    """
    height, width, channels = examples.images.shape[1:]
    _check_kind(test, examples.kind)
    transformation = build(test, (height, width, channels))
    try:
        return on_examples(transformation, examples)
    except ConfigError as error:
        raise _moved(error, f"transformations.{test.name}.parameters") from error


def _check_kind(test: TransformationTest, kind: Kind) -> None:
    """Raise ConfigError for a transformation of other examples than these: of rows, of texts, of images."""
    try:
        cls = TRANSFORMATIONS.get(test.kind)
    except ConfigError:  # what there is not is refused where it is made
        return
    if kind.name not in taken_by(cls):
        able = sorted(name for name in TRANSFORMATIONS.names() if kind.name in taken_by(TRANSFORMATIONS.get(name)))
        expected = f"a transformation of {kind.noun}s: one of {', '.join(able)}"
        raise ConfigError(f"transformations.{test.name}.kind", expected, test.kind)


def _made(name: str, parameters: Mapping[str, object], kind_key: str, key: str) -> Transformation:
    try:
        # Any, because a protocol says neither what settings make it nor that it is a dataclass.
        kind: Any = TRANSFORMATIONS.get(name)
    except ConfigError as error:
        raise ConfigError(kind_key, error.expected, error.got, error.hint) from error
    if not (isinstance(kind, type) and is_dataclass(kind) and issubclass(kind, Transformation)):
        contract = "a dataclass with __call__(images, intensity) and check(image_shape)"
        raise ConfigError(kind_key, contract, f"{name} = {kind!r}", "See docs/transformations.md")
    settings = exact_settings(kind, parameters, key, _parameter)
    try:
        transformation: Transformation = kind(**settings)
    except ConfigError as error:
        raise _moved(error, key) from error
    return transformation


def _moved(error: ConfigError, key: str) -> ConfigError:
    """Return the error with the key of what was configured in place of the library's own."""
    return ConfigError(f"{key}{error.key.removeprefix('transformations')}", error.expected, error.got, error.hint)


def _parameter(annotation: Any, value: object, key: str) -> Any:
    return _steps(value, key) if annotation == tuple[Transformation, ...] else exact_value(annotation, value, key)


def _steps(value: object, key: str) -> tuple[Transformation, ...]:
    """Transformations given as {kind, parameters} each."""
    made = []
    for number, step in enumerate(value if isinstance(value, list | tuple) else (value,)):
        where = f"{key}.{number}"
        if not isinstance(step, Mapping) or not step.keys() <= {"kind", "parameters"} or "kind" not in step:
            raise ConfigError(where, "a transformation as {kind, parameters}", step)
        parameters = step.get("parameters", {})
        if not isinstance(parameters, Mapping):
            raise ConfigError(f"{where}.parameters", "settings by their names", parameters)
        made.append(_made(str(step["kind"]), parameters, f"{where}.kind", f"{where}.parameters"))
    return tuple(made)
