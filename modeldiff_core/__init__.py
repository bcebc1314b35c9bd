"""ModelDiff's library: how two learning algorithms differ, from subset models to a report.

``Algorithm``, ``Data``, ``compare``, ``compare_checkpoints``, ``league``, ``submit``, ``Study`` and the reports are
what a notebook or a script needs. They are imported when they are first asked for, so that the import of the library
alone takes no time and no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from modeldiff_core.shapes import provide_shapes

if TYPE_CHECKING:
    from modeldiff_core.api.algorithm import Algorithm
    from modeldiff_core.api.checkpoints import compare_checkpoints
    from modeldiff_core.api.compare import compare
    from modeldiff_core.api.data import Data
    from modeldiff_core.api.league import LeagueReport, league
    from modeldiff_core.api.report import Report
    from modeldiff_core.api.study import Study
    from modeldiff_core.api.submit import submit

__all__ = [
    "Algorithm",
    "Data",
    "LeagueReport",
    "Report",
    "Study",
    "__version__",
    "compare",
    "compare_checkpoints",
    "league",
    "submit",
]

__version__ = "0.1.0"

# Before any other module of the library: nearly all of them name shapes in their annotations.
provide_shapes()

_PLACES = {
    "Algorithm": "algorithm",
    "Data": "data",
    "LeagueReport": "league",
    "Report": "report",
    "Study": "study",
    "compare": "compare",
    "compare_checkpoints": "checkpoints",
    "league": "league",
    "submit": "submit",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"modeldiff_core.api.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
