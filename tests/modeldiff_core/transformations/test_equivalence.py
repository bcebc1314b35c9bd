"""Three answers: shown to distinguish, shown not to, undecided; what would decide; and how often each is wrong."""

import numpy as np
import pytest

from modeldiff_core.statistics import Parts, difference_test, unseen_share
from modeldiff_core.transformations.equivalence import Margins, Reaction, Verdict, decide

MARGINS = Margins(delta=0.1, epsilon=0.05, alpha=0.05)


def draw(rng: np.random.Generator, effect: float, models: int, images: int, spread: float = 0.05) -> np.ndarray:
    """Changes with models and images that differ, and what is left."""
    return (
        effect
        + 0.02 * rng.normal(size=(models, 1))
        + spread * rng.normal(size=(1, images))
        + 0.1 * rng.normal(size=(models, images))
    )


def verdict(a: np.ndarray, b: np.ndarray) -> Verdict:
    difference = a[: len(b)] - b[: len(a)]
    p = difference_test(a, b).p
    return decide(*(Reaction.of(x, MARGINS.alpha) for x in (a, b, difference)), p, MARGINS)


@pytest.mark.parametrize(
    ("effects", "answer", "why"),
    [
        ((0.3, 0.0), "distinguishing", "one reacts, the other is shown not to"),
        ((0.0, -0.3), "distinguishing", "one reacts, the other is shown not to"),
        ((0.0, 0.01), "not distinguishing", "neither reacts"),
        ((0.3, 0.25), "not distinguishing", "both react"),
        ((0.3, -0.25), "not distinguishing", "both react"),
        ((0.3, 0.045), "undecided", "whether the other reacts, too"),
    ],
)
def test_the_answer_in_clear_cases(effects: tuple[float, float], answer: str, why: str) -> None:
    rng = np.random.default_rng(0)
    found = verdict(*(draw(rng, effect, 20, 400) for effect in effects))
    assert (found.answer, found.why) == (answer, why)
    assert (found.models is None) or answer == "undecided"


def test_changes_that_cancel_over_images_are_a_reaction() -> None:
    """B moves by 0.4 on every image, half of them up and half down: its mean is 0, and it does react."""
    rng = np.random.default_rng(1)
    a, b = draw(rng, 0.3, 20, 400), draw(rng, 0.0, 20, 400)
    assert verdict(a, b).answer == "distinguishing"
    b += np.where(np.arange(400) % 2, 0.4, -0.4)
    assert abs(b.mean()) < 0.02
    found = verdict(a, b)
    assert (found.answer, found.why) == ("not distinguishing", "both react: images of one move in opposite senses")


def test_noise_is_no_magnitude() -> None:
    rng = np.random.default_rng(2)
    still = Reaction.of(0.3 * rng.normal(size=(10, 300)), 0.05)
    assert abs(still.magnitude) < 0.01 < 0.05 < np.abs(0.3 * rng.normal(size=(10, 300)).mean(0)).mean()
    moved = Reaction.of(0.2 * np.sign(rng.normal(size=300)) + 0.1 * rng.normal(size=(10, 300)), 0.05)
    assert moved.magnitude == pytest.approx(0.2, abs=0.01)
    assert moved.magnitude_low < moved.magnitude < moved.magnitude_high < 0.22


def test_few_images_cannot_show_that_an_algorithm_does_not_react() -> None:
    """Of 40 images none may belong to a group of 7 % that reacts, so 0.05 cannot be shown, whatever they do."""
    b = np.zeros((20, 40))
    b[:, 0] = 1e-3
    rng = np.random.default_rng(3)
    a = draw(rng, 0.3, 20, 40)
    found = verdict(a, b)
    assert found.answer == "undecided"
    assert found.images is not None
    assert found.images >= 80
    assert unseen_share(59) < 0.05 < unseen_share(58)
    assert Reaction.of(b, 0.05).carriers == pytest.approx(1)
    wide = np.zeros((20, 200))
    wide[:, 0] = 1e-3
    assert verdict(draw(rng, 0.3, 20, 200), wide).answer == "distinguishing"


@pytest.mark.parametrize("models", [5, 20])
def test_an_algorithm_that_reacts_too_much_is_rarely_said_not_to(models: int) -> None:
    """B = epsilon and B = 2 epsilon, which the point estimate called none in 10 % of studies with 5 models."""
    rng = np.random.default_rng(4)
    for effect, most in ((0.05, 16), (0.1, 2)):
        wrong = sum(
            verdict(draw(rng, 0.4, models, 120), draw(rng, effect, models, 120)).answer == "distinguishing"
            for _ in range(150)
        )
        assert wrong <= most, "5 % of 150 is 7.5; 16 has a chance of 1 in 250"


def test_what_is_told_for_an_undecided_one_decides() -> None:
    rng = np.random.default_rng(5)
    told, decided = 0, 0
    for _ in range(60):
        effect = float(rng.uniform(0, 0.04))
        found = verdict(draw(rng, 0.4, 5, 60), draw(rng, effect, 5, 60))
        if found.answer != "undecided" or found.models is None or found.models > 300:
            continue
        assert found.images is not None
        told += 1
        again = verdict(*(draw(rng, e, found.models, found.images) for e in (0.4, effect)))
        decided += again.answer == "distinguishing"
    assert told >= 10
    assert decided >= 0.8 * told


def test_parts_and_what_is_enough() -> None:
    rng = np.random.default_rng(6)
    whole = Parts(0.02**2, 0.05**2, 0.1**2)
    found = [Parts.of(draw(rng, 0.2, 20, 100)) for _ in range(200)]
    for name, expected in vars(whole).items():
        assert np.mean([getattr(one, name) for one in found]) == pytest.approx(expected, rel=0.06)
    means = [draw(rng, 0.2, 6, 50).mean() for _ in range(2000)]
    assert whole.error(6, 50) == pytest.approx(np.std(means), rel=0.06)
    models, images = whole.enough(0.006, 5, 100) or (0, 0)
    assert whole.error(models, images) <= 0.006
    assert images == 100, "more models alone can do it"
    assert whole.error(models - 1, images) > 0.006
    models, images = whole.enough(0.0045, 20, 100) or (0, 0)
    assert whole.error(models, images) <= 0.0045
    assert images > 100
    assert whole.enough(0.1, 5, 100) == (5, 100)
    assert whole.enough(0.0, 5, 100) is None
    assert whole.enough(1e-9, 5, 100) is None
    assert whole + whole == Parts(2 * whole.models, 2 * whole.images, 2 * whole.rest)


@pytest.mark.parametrize(("images", "share"), [(60, 0.055), (100, 0.055), (400, 0.055)])
def test_a_reaction_of_few_images_is_rarely_overlooked(images: int, share: float) -> None:
    """Images of which one in twenty reacts fully: Student's interval alone overlooked them in up to 15 %."""
    rng = np.random.default_rng(6)
    overlooked = 0
    for _ in range(200):
        reacts = rng.random(images) < share
        changes = reacts + 0.01 * rng.normal(size=(5, images))
        overlooked += Reaction.of(changes, 0.05).largest < 0.05
    assert overlooked <= 20, "5 % of 200 is 10; 20 has a chance of 1 in 500"
