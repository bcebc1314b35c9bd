"""Checks of annotations that cost less: only functions that name the axes of arrays need jaxtyping.

jaxtyping's hook wraps every function of a package. What it wraps binds the arguments of a call to names, keeps the axes
that they agree on, and checks the parameters twice, the second time together with what is returned. Without an array in
the signature there are no axes to agree on, and beartype alone checks the same annotations, once.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, get_args

import beartype
import jaxtyping
from jaxtyping import TypeCheckError
from jaxtyping._decorator import _destring_annotation as understood  # what cannot be read yet is Any, as there

CONF = beartype.BeartypeConf(violation_type=TypeCheckError)
MARK = "__checked_by_beartype__"
_original = jaxtyping.jaxtyped


def install(package: str, except_in: tuple[str, ...] = ()) -> None:
    """Check the annotations of a package that is imported from now on; modules to leave to jaxtyping may be named."""
    jaxtyping.install_import_hook(package, "beartype.beartype")
    jaxtyping.jaxtyped = functools.partial(_jaxtyped, except_in)  # type: ignore[assignment]


def _jaxtyped(except_in: tuple[str, ...], function: Any = None, *, typechecker: Any = None) -> Any:
    """Take the place of the decorator that the hook writes above every function and class."""
    if function is None:
        return functools.partial(_jaxtyped, except_in, typechecker=typechecker)
    if isinstance(function, types.FunctionType) and function.__module__ not in except_in:
        return checked_alone(function) or _original(function, typechecker=typechecker)
    if inspect.isclass(function) and function.__module__ not in except_in and dataclasses.is_dataclass(function):
        made = vars(function).get("__init__")
        if not isinstance(made, types.FunctionType) or hasattr(made, MARK):
            return function
        if alone := checked_alone(made):
            function.__init__ = alone  # type: ignore[misc]
            return function
    return _original(function, typechecker=typechecker)


def checked_alone(function: types.FunctionType) -> Callable[..., Any] | None:
    """Return the function with its annotations checked by beartype; None if that is not enough or not possible."""
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        return None
    given = {name: understood(hint, function.__globals__) for name, hint in function.__annotations__.items()}
    if any(_holds_arrays(hint) for hint in given.values()):
        return None
    own = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    own.__kwdefaults__, own.__annotations__ = function.__kwdefaults__, given
    own.__qualname__, own.__module__ = function.__qualname__, function.__module__
    try:
        checked: Callable[..., Any] = beartype.beartype(conf=CONF)(own)
    except Exception:  # a hint that beartype reads only inside a class, say
        return None
    functools.update_wrapper(checked, function)
    setattr(checked, MARK, True)
    return checked


def _holds_arrays(hint: Any) -> bool:
    """Return whether a type of jaxtyping is part of the hint."""
    if isinstance(hint, list | tuple):
        return any(map(_holds_arrays, hint))
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return str(getattr(hint, "__module__", "")).startswith("jaxtyping") or any(map(_holds_arrays, get_args(hint)))
