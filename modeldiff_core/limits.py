"""Limits of the numbers in settings: written once, beside the field, and read with and without pydantic.

A field is annotated ``Annotated[int, Limit(least=1)]``. Pydantic, where it validates settings, calls the limit for the
field and puts it into the JSON schema; on a machine without pydantic ``check_limits`` says the same in __post_init__.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from modeldiff_core.errors import Check

Number = int | float


@dataclass(frozen=True)
class Limit:
    """A range of numbers. least, most: ends that belong to it; above, below: ends that do not; None where open.

    what: the number in words, for the message of a range with two ends.
    """

    least: Number | None = None
    most: Number | None = None
    above: Number | None = None
    below: Number | None = None
    what: str = "a number"

    def holds(self, value: Number) -> bool:
        """Return whether the number lies within; not a number does not."""
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    @property
    def words(self) -> str:
        """What is expected: '1 or more', 'more than 0', 'a number in (0, 1]'."""
        low = f"({self.above:g}" if self.above is not None else "" if self.least is None else f"[{self.least:g}"
        high = f"{self.below:g})" if self.below is not None else "" if self.most is None else f"{self.most:g}]"
        if low and high:
            return f"{self.what} in {low}, {high}"
        if low:
            return f"{self.least:g} or more" if self.above is None else f"more than {self.above:g}"
        return f"at most {self.most:g}" if self.below is None else f"less than {self.below:g}"

    def checked(self, value: Number) -> Number:
        """Return the number; raises ValueError with the words unless it lies within."""
        if not self.holds(value):
            raise ValueError(self.words)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        function = {"type": "no-info", "function": self.checked}
        return {"type": "function-after", "function": function, "schema": handler(source)}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        ends = dict(zip(names, (self.least, self.most, self.above, self.below), strict=True))
        return {**handler(schema), **{name: end for name, end in ends.items() if end is not None}}


@dataclass(frozen=True)
class Expected:
    """What a field holds, in the words of the message for anything else: 'a folder or an fsspec URL'."""

    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        message = {"custom_error_type": "expected", "custom_error_message": self.words}
        return {"type": "custom-error", "schema": handler(source), **message}


def check_limits(settings: object, check: Check) -> None:
    """Raise ConfigError for the first field of a settings dataclass whose number is not within its limit."""
    kind: Any = type(settings)
    for name, limit in _limits(kind):
        value = getattr(settings, name)
        check(limit.holds(value), name, limit.words, value)


@lru_cache(maxsize=64)
def _limits(kind: type[Any]) -> list[tuple[str, Limit]]:
    hints = get_type_hints(kind, include_extras=True).items()
    annotated = [(name, get_args(hint)[1:]) for name, hint in hints if get_origin(hint) is Annotated]
    return [(name, limit) for name, metadata in annotated for limit in metadata if isinstance(limit, Limit)]
