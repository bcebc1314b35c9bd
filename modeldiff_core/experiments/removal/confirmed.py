"""The differences of a comparison with the transformation that confirms each best."""

from dataclasses import dataclass
from typing import Any

from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.experiments.compare.findings import entries_with_power, read_findings
from modeldiff_core.experiments.compare.summary import contrast_summary, found_entries
from modeldiff_core.stages.search import Search, read_finalists
from modeldiff_core.store import ObjectStore
from modeldiff_core.transformations import Judged


@dataclass(frozen=True)
class Confirmed:
    """A difference, and the transformation of the largest difference of effects that the search confirmed along it.

    Attributes:
        number: Its place among the differences, the largest first.
        difference: The entry of ``differences`` of summary.json.
        search: Along which the transformation was put to the test; None where none was confirmed.
        finalist: Its place among those put to the test.
        judged: What was measured of it.

    """

    number: int
    difference: dict[str, Any]
    search: Search | None = None
    finalist: int = 0
    judged: Judged | None = None


def confirmed_differences(store: ObjectStore, comparison: Comparison, most: int) -> list[Confirmed]:
    """Return the largest differences; raises FileNotFoundError as long as the comparison is not complete."""
    findings = read_findings(store, comparison)
    settings = comparison.study.comparison
    directions = entries_with_power(settings, findings)
    summary = contrast_summary(settings, findings, directions, found_entries(findings), comparison.study.verdict)
    result = []
    for number, difference in enumerate(summary["differences"][:most]):
        own = [
            (search, judged)
            for searches, judged in findings.found
            for search in searches
            if judged.distinguishing and search.side == difference["side"] and search.index in difference["directions"]
        ]
        if not own:
            result.append(Confirmed(number, difference))
            continue
        search, judged = max(own, key=lambda pair: abs(pair[1].measured.probability.difference[-1].mean))
        tests = [measured.test for measured in read_finalists(store, search)]
        result.append(Confirmed(number, difference, search, tests.index(judged.measured.test), judged))
    return result
