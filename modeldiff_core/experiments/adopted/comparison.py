"""A comparison of margins or of attributions that are in the store, without the algorithms that made them.

Margins allow everything except effects of transformations, which need models that can be shown images. Ready
attributions allow residual PCA alone: what is measured on the models that chose a direction proves nothing (see
comparison.crossfit), so directions are listed and none of them is tested.
"""

from dataclasses import dataclass
from typing import Any

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.examples import AxisExamples, read_examples
from modeldiff_core.experiments.adopted.stored import Stored, find_stored
from modeldiff_core.experiments.compare.compared import Compared, Margins
from modeldiff_core.experiments.compare.comparison import plain_settings
from modeldiff_core.identity import digest
from modeldiff_core.plan import Reference, refer
from modeldiff_core.stages.directions import FOLDER
from modeldiff_core.stages.enrichment import Ends
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import AdoptedStudy
from modeldiff_core.study.check_estimators import check_estimators
from modeldiff_core.transformations import SearchSettings

VERSION = 3
SUMMARY_VERSION = 4
"""Raised by hand when the same results are summarized differently."""
LEAST_FITTED = 20
"""Fewest models that a regression is fitted on."""
UNTESTED = 3
"""Directions of a side whose ends are described where none could be tested."""


def _fitted(a: Stored, b: Stored, held: int) -> int:
    """Return how many models are fitted of the side with fewer: all after the first `held` that are not left out."""
    left_out = [[row for row in side.record.get("left_out", ()) if row >= held] for side in (a, b)]
    return min(side.models - held - len(rows) for side, rows in zip((a, b), left_out, strict=True))


@dataclass(frozen=True)
class AdoptedComparison(Compared):
    """An adopted study resolved against the store; every property is a pure function of both."""

    study: AdoptedStudy
    a: Stored
    b: Stored
    known: AxisExamples

    @classmethod
    def of(cls, store: ObjectStore, study: AdoptedStudy) -> "AdoptedComparison":
        """Find both sides; raises ConfigError for sides that cannot be compared."""
        a, b = find_stored(store, study.a, "a"), find_stored(store, study.b, "b")
        if a.kind != b.kind:
            raise ConfigError("b", f"{a.kind}, as a is", b.reference.key, "A regression makes datamodels of margins")
        if (a.n_targets, a.n_train) != (b.n_targets, b.n_train):
            sizes = "{0.n_targets} targets and {0.n_train} training examples".format
            raise ConfigError("b", f"{sizes(a)}, as a has", sizes(b))
        most = min(a.n_targets, a.n_train) - 1
        if study.comparison.components > most:
            raise ConfigError("comparison.components", f"at most {most}", study.comparison.components)
        if a.kind == "margins":
            check_estimators(study.regression, (), a.n_train)
            if a.models != b.models:
                fewer = min(a.models, b.models)
                hint = (
                    "Models are exchanged one for one to find what chance does: adopt equally many of both, such as "
                    f"the first {fewer} rows of the masks and margins of {a.name if a.models > fewer else b.name}"
                )
                raise ConfigError("b", f"{a.models} models, as a has", b.models, hint)
            fitted = _fitted(a, b, study.evaluation_models)
            if fitted < LEAST_FITTED:
                most = study.evaluation_models - (LEAST_FITTED - fitted)
                raise ConfigError("evaluation_models", f"at most {most}", study.evaluation_models)
        return cls(study, a, b, read_examples(study, a.n_targets, a.n_train, store.settings))

    @property
    def digest(self) -> str:
        """Digest of everything that decides the comparison's numbers."""
        asked = self.study.model_dump(include={"comparison", "evaluation_models"}, mode="json")
        settings = plain_settings(asked, self.study.regression)
        known = {"examples": self.known.fingerprint} if self.known.fingerprint else {}
        return digest({"version": SUMMARY_VERSION, "sources": self._digests, "settings": settings, **known})

    @property
    def sides(self) -> dict[str, Stored]:
        """Both sides by their letters."""
        return {"a": self.a, "b": self.b}

    @property
    def names(self) -> dict[str, str]:
        """What people call the sides, by their letters."""
        return {which: side.name for which, side in self.sides.items()}

    def margins(self, side: Stored) -> Margins:
        return Margins(side.reference, side.folder, side.n_targets, side.n_train, self.study.evaluation_models)

    @property
    def directions(self) -> Reference:
        """Where the directions are stored, of margins or of attributions."""
        if self.a.kind == "margins":
            return super().directions
        settings = self.study.comparison.model_dump(include={"components", "normalize"})
        identity = {"version": VERSION, "scores": self._digests, **settings}
        return refer(FOLDER, "directions", identity, record="{key}.safetensors")

    @property
    def contrasted(self) -> bool:
        """Whether the directions are those of a contrast, which takes margins."""
        return self.a.kind == "margins" and super().contrasted

    @property
    def permutations(self) -> int:
        """Draws of the null; ready attributions have none."""
        return super().permutations if self.a.kind == "margins" else 0

    @property
    def _digests(self) -> list[str]:
        return [side.reference.digest for side in (self.a, self.b)]

    def described(self, entries: list[dict[str, Any]]) -> list[Ends]:
        """Return the directions whose ends are described: significant ones, of ready attributions the first of each
        side.
        """
        if not self.known.fingerprint:
            return []
        first = 0 if self.a.kind == "margins" else UNTESTED
        return [
            Ends(self.directions, self.known.fingerprint, entry["side"], entry["index"], SearchSettings().share)
            for entry in entries
            if entry["significant"] or entry["index"] < first
        ]
