"""Forms of laws: sums of exponentials of log size, log data, sparsity and granularity, with exact derivatives."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

from modeldiff_core.errors import ConfigError
from modeldiff_core.registry import Registry

SMALL = 1e-6
"""Exponents below which expm1(u)/u is taken by its series."""
LEAST = 1e-3
"""Loss in nats below which a law is not followed: its logarithm has to exist."""
LEVELS = 3
"""Sizes, and sparsities, that a law of them needs."""
Features = Mapping[str, Float[np.ndarray, " runs"]]


@dataclass(frozen=True)
class Term:
    """A term w·exp(Σ ±θ·x) with w > 0; a `signed` one has w of either sign; a `bent` one is w·(exp(θ·x) − 1)/θ.

    A bent term and the constant stay determined together where c·exp(θ·x) and e do not: as θ goes to 0 it is w·x.

    Attributes:
        scale: Name of w.
        powers: Exponents by name: the feature that each multiplies, and its sign.
        kind: See above; a bent term has one exponent.

    """

    scale: str
    powers: tuple[tuple[str, str, float], ...]
    kind: Literal["positive", "signed", "bent"] = "positive"


@dataclass(frozen=True)
class LawForm:
    """A law L = Σ terms + constant, in nats per token.

    Features are n = ln N − center, t = ln D − center, s = −ln(1 − S), g = ln G, and products such as ``n*s``.

    Attributes:
        name: What it is called.
        source: Where it was published.
        terms: The terms.
        starts: Exponents from which fits start, every combination of them.
        limits: Least and largest value of each exponent.

    """

    name: str
    source: str
    terms: tuple[Term, ...]
    starts: Mapping[str, tuple[float, ...]]
    limits: Mapping[str, tuple[float, float]]

    @cached_property
    def exponents(self) -> tuple[str, ...]:
        """Names of the exponents."""
        return tuple(dict.fromkeys(name for term in self.terms for name, _, _ in term.powers))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in their order: scales (ln w if positive, else w), exponents, the constant."""
        return (*(term.scale for term in self.terms), *self.exponents, "constant")

    @property
    def granular(self) -> bool:
        """Whether it needs the granularity of the experts."""
        return any(feature == "g" for term in self.terms for _, feature, _ in term.powers)

    def design(self, features: Features) -> Float[np.ndarray, "exponents terms runs"]:
        """Return what each exponent multiplies in each term."""
        runs = len(features["n"])
        found = np.zeros((len(self.exponents), len(self.terms), runs))
        for at, term in enumerate(self.terms):
            for name, feature, sign in term.powers:
                value = np.prod([features[part] for part in feature.split("*")], axis=0)
                found[self.exponents.index(name), at] += sign * value
        return found

    def losses(
        self, parameters: Float[np.ndarray, "draws parameters"], design: Float[np.ndarray, "exponents terms runs"]
    ) -> Float[np.ndarray, "draws runs"]:
        """Return the losses of laws at the runs of a design."""
        values, _ = self._terms(parameters, design)
        return np.asarray(np.maximum(values.sum(1) + parameters[:, -1:], LEAST))

    def slopes(
        self, parameters: Float[np.ndarray, "draws parameters"], design: Float[np.ndarray, "exponents terms runs"]
    ) -> tuple[Float[np.ndarray, "draws runs"], Float[np.ndarray, "draws runs parameters"]]:
        """Return the losses and their derivatives with respect to the parameters."""
        values, exponents = self._terms(parameters, design)
        terms, found = len(self.terms), np.empty((len(parameters), design.shape[2], parameters.shape[1]))
        by_scale, by_exponent = values.copy(), values.copy()
        for at, term in enumerate(self.terms):
            scale, u = parameters[:, at, None], exponents[:, at]
            if term.kind == "signed":
                by_scale[:, at] = np.exp(u)
            elif term.kind == "bent":
                by_scale[:, at] = _bent(u, design, at)
                by_exponent[:, at] = scale * _bent_slope(u, design, at)
        found[:, :, :terms] = by_scale.transpose(0, 2, 1)
        found[:, :, terms:-1] = np.einsum("dkr,ekr->dre", by_exponent, design, optimize=True)
        found[:, :, -1] = 1.0
        return np.maximum(values.sum(1) + parameters[:, -1:], LEAST), found

    def _terms(
        self, parameters: Float[np.ndarray, "draws parameters"], design: Float[np.ndarray, "exponents terms runs"]
    ) -> tuple[Float[np.ndarray, "draws terms runs"], Float[np.ndarray, "draws terms runs"]]:
        """Return the terms' values, and their exponents Σ ±θ·x."""
        terms = len(self.terms)
        u = np.tensordot(parameters[:, terms:-1], design, axes=1)
        values = np.empty_like(u)
        for at, term in enumerate(self.terms):
            scale = parameters[:, at, None]
            if term.kind == "positive":
                values[:, at] = np.exp(scale + u[:, at])
            else:
                values[:, at] = scale * (_bent(u[:, at], design, at) if term.kind == "bent" else np.exp(u[:, at]))
        return values, u


def _bent(
    u: Float[np.ndarray, "draws runs"], design: Float[np.ndarray, "exponents terms runs"], at: int
) -> Float[np.ndarray, "draws runs"]:
    """Return (exp(θx) − 1)/θ = x·expm1(u)/u for u = θx."""
    x, small = design[:, at].sum(0), np.abs(u) < SMALL
    safe = np.where(small, 1.0, u)
    return np.asarray(x * np.where(small, 1 + u / 2, np.expm1(safe) / safe))


def _bent_slope(
    u: Float[np.ndarray, "draws runs"], design: Float[np.ndarray, "exponents terms runs"], at: int
) -> Float[np.ndarray, "draws runs"]:
    """Return the derivative of `_bent` with respect to u: x·(u·exp(u) − expm1(u))/u²."""
    x, small = design[:, at].sum(0), np.abs(u) < 1e-4
    safe = np.where(small, 1.0, u)
    return np.asarray(x * np.where(small, 0.5 + u / 3, (safe * np.exp(safe) - np.expm1(safe)) / safe**2))


POWER, WIDE = (0.15, 0.35, 0.6), (0.01, 2.0)
SPARSE = Term("c", (("lambda", "s", 1.0),), kind="bent")
SIZE, DATA = Term("a", (("alpha", "n", -1.0),)), Term("b", (("beta", "t", -1.0),))
MIXED = Term("d", (("delta", "s", 1.0), ("gamma", "n", -1.0)))

SPARSITY = LawForm(
    "sparsity",
    "arXiv 2501.12370, eq. 6",
    (SIZE, DATA, SPARSE, MIXED),
    {"alpha": (0.15, 0.5), "beta": (0.15, 0.4), "lambda": (-0.4, -0.1), "delta": (0.05, 0.2), "gamma": (0.05, 0.2)},
    {"alpha": WIDE, "beta": WIDE, "lambda": (-2.0, 2.0), "delta": (-1.0, 2.0), "gamma": (0.001, 2.0)},
)
"""L = a/N^α + b/D^β + c/(1−S)^λ + d/((1−S)^δ·N^γ) + e."""
NO_INTERACTION = LawForm(
    "no interaction",
    "the law above without its fourth term",
    (SIZE, DATA, SPARSE),
    {"alpha": POWER, "beta": POWER, "lambda": (-0.5, -0.1, 0.2)},
    {"alpha": WIDE, "beta": WIDE, "lambda": (-2.0, 2.0)},
)
CHINCHILLA = LawForm(
    "Chinchilla",
    "arXiv 2203.15556, eq. 2",
    (SIZE, DATA),
    {"alpha": POWER, "beta": POWER},
    {"alpha": WIDE, "beta": WIDE},
)
"""L = a/N^α + b/D^β + e: one such law for each sparsity, or one for all runs."""
GRANULARITY = LawForm(
    "granularity",
    "arXiv 2402.07871, eq. 9",
    (SIZE, DATA, Term("g", (("alpha", "n", -1.0), ("gamma", "g", -1.0)))),
    {"alpha": POWER, "beta": POWER, "gamma": (0.2, 0.6)},
    {"alpha": WIDE, "beta": WIDE, "gamma": (0.01, 3.0)},
)
"""L = (g/G^γ + a)/N^α + b/D^β + e."""


def law_forms() -> Registry[LawForm]:
    """Return the registry of forms of laws, those of installed packages among them."""
    known = {"sparsity": SPARSITY, "no_interaction": NO_INTERACTION, "chinchilla": CHINCHILLA}
    return Registry("modeldiff.laws", "laws", known | {"granularity": GRANULARITY})


def features_of(
    parameters: Float[np.ndarray, " runs"],
    tokens: Float[np.ndarray, " runs"],
    sparsity: Float[np.ndarray, " runs"],
    granularity: Float[np.ndarray, " runs"] | None,
    center: tuple[float, float],
) -> dict[str, Float[np.ndarray, " runs"]]:
    """Return the features of runs; `center` is what is taken from ln N and ln D."""
    found = {"n": np.log(parameters) - center[0], "t": np.log(tokens) - center[1], "s": -np.log1p(-sparsity)}
    if granularity is not None:
        found["g"] = np.log(granularity)
    return found


def needs(form: LawForm, features: Features) -> None:
    """Raise ConfigError for a law of what the runs do not vary: each feature needs LEVELS values, granularity two."""
    for name, told, least in (("n", "sizes", LEVELS), ("s", "sparsities", LEVELS), ("g", "granularities", 2)):
        if any(name in feature.split("*") for term in form.terms for _, feature, _ in term.powers):
            found = len(np.unique(np.round(features[name], 3))) if name in features else 0
            if found < least:
                raise ConfigError("runs", f"{least} {told} or more for the law {form.name}", found)
