"""Coefficients of a law as the paper writes it, each with a profile interval and whether the runs determine it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.scaling.forms import LawForm, features_of
from modeldiff_core.scaling.law import FittedLaw
from modeldiff_core.scaling.runs import Runs
from modeldiff_core.scaling.solver import Problem

SHARE = 0.1
"""A coefficient is determined if its 95 % interval lies within this share of its value on either side."""
CHI2 = 3.841
"""0.95 quantile of χ² with one degree of freedom."""
GROWTH, OUTWARD, REFINED, DESCENT = 1.7, 14, 3, 40
"""How a profile is walked: growth and number of the steps, refinements of the end, steps of each descent."""
LN_SCALES = (-60.0, 90.0)
"""Limits of ln w where N and D are not centered."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its 95 % profile interval.

    Attributes:
        name: As in the law's formula.
        value: Of the fit.
        low: Lower end; −∞ (for a scale 0) where the profile does not end as far as it was walked.
        high: Upper end; +∞ likewise.

    """

    name: str
    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the interval lies within SHARE of the value on either side."""
        reach = SHARE * abs(self.value)
        return bool(self.value - reach <= self.low and self.high <= self.value + reach)


def coefficients(law: FittedLaw, runs: Runs, names: Sequence[str] | None = None) -> tuple[Coefficient, ...]:
    """Return coefficients of a law for N and D as they are, each with its profile interval.

    The profile of a coefficient is the least objective over all others; the interval ends where it exceeds the fit's by
    χ²(0.95)/2 · mean(ψ²)/mean(ψ′)/(runs − parameters), with ψ = ρ′ at the fit's residuals. A bent term
    k·(exp(λs) − 1)/λ + f is written c·exp(λs) + e with c = k/λ and e = f − c; where the interval of λ holds 0, c and e
    may be anything, and so say their intervals.

    Args:
        law: A law fitted to the runs.
        runs: The runs.
        names: Coefficients that are wanted, all by default.

    """
    form, values = plain_form(law.form), plain_parameters(law)
    known = names_of(form)
    asked = known if names is None else tuple(names)
    bending = {term.powers[0][0]: (term.scale, "e") for term in law.form.terms if term.kind == "bent"}
    more = [power for power, tied in bending.items() if power not in asked and set(tied) & set(asked)]
    wanted = [known.index(name) for name in (*asked, *more)]
    design = form.design(features_of(runs.parameters, runs.tokens, runs.sparsity, runs.granularity, (0.0, 0.0)))
    walk = _Walk(Problem(form, design, law.bend, LN_SCALES), np.log(runs.loss), values)
    lows, highs = walk.ends(np.repeat(wanted, 2), np.tile([-1.0, 1.0], len(wanted))).reshape(-1, 2).T
    found = dict[str, Coefficient]()
    for low, high, at in zip(lows, highs, wanted, strict=True):
        logged = at < len(form.terms) and form.terms[at].kind == "positive"
        three = [float(np.exp(one)) if logged else float(one) for one in (values[at], low, high)]
        found[known[at]] = Coefficient(known[at], *three)
    for power, tied in bending.items():
        if power in found and found[power].low < 0 < found[power].high:
            found |= {name: replace(found[name], low=-np.inf, high=np.inf) for name in tied if name in found}
    return tuple(found[name] for name in asked)


def names_of(form: LawForm) -> tuple[str, ...]:
    """Return the names of a form's coefficients in the order of its parameters; the constant is e."""
    return (*form.names[:-1], "e")


def plain_form(form: LawForm) -> LawForm:
    """Return the form with bent terms w·(exp(θx) − 1)/θ written as c·exp(θx), c of either sign."""
    terms = tuple(replace(term, kind="signed" if term.kind == "bent" else term.kind) for term in form.terms)
    return replace(form, terms=terms)


def plain_parameters(law: FittedLaw) -> Float[np.ndarray, " parameters"]:
    """Return the fit's parameters for `plain_form` and N and D as they are."""
    form, values = law.form, law.parameters.copy()
    power = dict(zip(form.names, values, strict=True))
    for at, term in enumerate(form.terms):
        for name, feature, sign in term.powers:
            center = {"n": law.center[0], "t": law.center[1]}.get(feature, 0.0)
            values[at] -= sign * power[name] * center
        if term.kind == "bent":
            values[at] = values[at] / power[term.powers[0][0]]
            values[-1] -= values[at]
    return values


@dataclass(frozen=True)
class _Walk:
    """Profiles walked outward from a fit, many at once.

    problem: in plain coordinates. logs: ln loss. values: the fit's parameters.
    """

    problem: Problem
    logs: Float[np.ndarray, " runs"]
    values: Float[np.ndarray, " parameters"]

    def ends(self, which: np.ndarray, signs: Float[np.ndarray, " walks"]) -> Float[np.ndarray, " walks"]:
        """Return where the profiles of parameters `which` have risen enough, going down or up."""
        rows, free = np.arange(len(which)), np.ones((len(which), len(self.values)), bool)
        free[rows, which] = False
        start, reached = self.problem.minimize(self.logs[None], self.values[None], DESCENT)
        base, most = float(reached[0]), self._rise(start)
        step = 0.25 * self._errors(start, most)[which] * signs
        last, here = np.zeros(len(which)), np.repeat(start, len(which), 0)
        low, rise_low = np.zeros(len(which)), np.zeros(len(which))
        high, rise_high = np.full(len(which), np.nan), np.full(len(which), np.nan)
        for _ in range(OUTWARD):
            going = np.isnan(high)
            if not going.any():
                break
            at = last + step
            values = start[0, which[going]] + at[going]
            moved, rise = self._profile(here[going], which[going], values, free[going], base)
            here[going] = moved
            over = np.zeros(len(which), bool)
            over[going] = rise > most
            under = going & ~over
            high[over], rise_high[over] = at[over], rise[over[going]]
            low[under], rise_low[under] = at[under], rise[under[going]]
            last, step = at, step * GROWTH
        found = np.isfinite(high)
        for _ in range(REFINED):
            if not found.any():
                break
            root = [np.sqrt(np.maximum(one, 0)) for one in (rise_low, rise_high)]
            share = np.clip((np.sqrt(most) - root[0]) / np.maximum(root[1] - root[0], 1e-30), 0.02, 0.98)
            at = low + share * (high - low)
            _, rise = self._profile(here[found], which[found], start[0, which[found]] + at[found], free[found], base)
            over = np.zeros(len(which), bool)
            over[found] = rise > most
            under = found & ~over
            high[over], rise_high[over] = at[over], rise[over[found]]
            low[under], rise_low[under] = at[under], rise[under[found]]
        return np.where(found, start[0, which] + (low + high) / 2, signs * np.inf)

    def _rise(self, start: Float[np.ndarray, "one parameters"]) -> float:
        """Return by how much the mean objective rises to the end of a 95 % interval."""
        size = np.abs(np.log(self.problem.form.losses(start, self.problem.design))[0] - self.logs)
        squares, within = np.minimum(size, self.problem.bend) ** 2, (size <= self.problem.bend).mean()
        free = max(len(self.logs) - len(self.values), 1)
        return max(float(CHI2 / 2 * squares.mean() / max(within, 0.1) / free), 1e-26)

    def _profile(
        self,
        here: Float[np.ndarray, "walks parameters"],
        which: np.ndarray,
        values: Float[np.ndarray, " walks"],
        free: Bool[np.ndarray, "walks parameters"],
        base: float,
    ) -> tuple[Float[np.ndarray, "walks parameters"], Float[np.ndarray, " walks"]]:
        """Return the best parameters with one of them at a value, and by how much the objective rose."""
        starts, rows = here.copy(), np.arange(len(which))
        starts[rows, which] = values
        self._keep_bent(here, starts, which)
        moved, objective = self.problem.minimize(np.tile(self.logs, (len(starts), 1)), starts, DESCENT, free)
        return moved, objective - base

    def _keep_bent(
        self,
        here: Float[np.ndarray, "walks parameters"],
        starts: Float[np.ndarray, "walks parameters"],
        which: np.ndarray,
    ) -> None:
        """Move c, λ and e of a signed term together, so that c + e and c·λ stay, where one of them was moved."""
        form = self.problem.form
        for at, term in enumerate(form.terms):
            if term.kind != "signed":
                continue
            power, e = len(form.terms) + form.exponents.index(term.powers[0][0]), len(form.names) - 1
            for row, moved in enumerate(which):
                bend, total = here[row, at] * here[row, power], here[row, at] + here[row, e]
                if moved == e:
                    starts[row, at] = total - starts[row, e]
                elif moved == power:
                    starts[row, at] = bend / (starts[row, power] or 1e-9)
                if moved in (at, power):
                    starts[row, e] = total - starts[row, at]
                if moved in (at, e) and abs(starts[row, at]) > 1e-9:
                    starts[row, power] = bend / starts[row, at]

    def _errors(self, start: Float[np.ndarray, "one parameters"], most: float) -> Float[np.ndarray, " parameters"]:
        """Return how far each parameter goes where the objective is a parabola and rises by `most`."""
        losses, slopes = self.problem.form.slopes(start, self.problem.design)
        columns = slopes[0] / losses[0][:, None]
        scale = np.sqrt(np.square(columns).sum(0)) + 1e-30
        inverse = np.linalg.pinv((columns / scale).T @ (columns / scale), hermitian=True)
        return np.asarray(np.sqrt(np.diagonal(inverse) * 2 * most * len(self.logs)) / scale) + 1e-9
