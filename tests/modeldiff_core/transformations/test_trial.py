"""Transformations of one's own and files, tried before anything is trained: each fault is named by its key."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.transformations import EffectSettings, TransformationTest, build
from modeldiff_core.transformations.search import SearchSettings, check_halves
from modeldiff_core.transformations.trial import try_on

RNG = np.random.default_rng(0)
TARGETS = Examples(RNG.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8), np.arange(20) % 4)
OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Invert:
    strength: float = 1.0
    way: str = "sound"

    def check(self, image_shape):
        pass

    def __call__(self, images, intensity):
        changed = images + intensity * self.strength * (255.0 - 2.0 * images)
        if self.way == "float":
            return changed
        if self.way == "crash":
            raise RuntimeError("no weights")
        if self.way == "in place" and intensity:
            images[:] = 0
        if self.way == "never the same":
            return (255 - images).astype("uint8")
        return changed.astype("uint8")[:, :-1] if self.way == "smaller" else changed.astype("uint8")

class Plain:
    pass
"""
POINTS = "[modeldiff.transformations]\ninvert = own_changes:Invert\nplain = own_changes:Plain\ngone = not_there:Gone\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers transformations."""
    (tmp_path / "own_changes.py").write_text(OWN)
    facts = tmp_path / "own_changes-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: own-changes\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))


def tried(kind: str, *, images: Examples = TARGETS, target_class: int | None = None, **parameters: object) -> bool:
    return try_on(TransformationTest("mine", kind, target_class, parameters=parameters), images, EffectSettings())


@pytest.mark.usefixtures("own")
def test_ones_own_is_found_by_its_entry_point() -> None:
    assert tried("invert", strength=0.5)
    made = build(TransformationTest("mine", "invert", parameters={"strength": 1}), (8, 8, 1))
    np.testing.assert_array_equal(made(TARGETS.images, 1.0), 255 - TARGETS.images)
    with pytest.raises(ConfigError, match="float, got 'much'") as caught:
        tried("invert", strength="much")
    assert caught.value.key == "transformations.mine.parameters.strength"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("float", r"uint8 images \[8, 8, 8, 1\], got 'float64 of shape \[8, 8, 8, 1\]'"),
        ("smaller", r"uint8 images \[8, 8, 8, 1\], got 'uint8 of shape \[8, 7, 8, 1\]'"),
        ("crash", "RuntimeError: no weights"),
        ("in place", "leaves the images it is given"),
        ("never the same", "changes nothing at intensity 0"),
    ],
)
def test_ones_own_that_breaks_the_contract(way: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        tried("invert", way=way)
    assert caught.value.key == "transformations.mine.kind"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("kind", "said"), [("plain", "a dataclass with __call__"), ("gone", "No module named")])
def test_an_entry_point_that_leads_nowhere(kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        tried(kind)
    assert caught.value.key == "transformations.mine.kind"


def test_a_change_that_changes_nothing_is_told_apart() -> None:
    assert tried("translate", rows=1)
    assert not tried("translate")
    assert not tried("band", low=0.8, high=0.9)


@pytest.mark.parametrize("target_class", [2, None])
def test_images_must_be_left(target_class: int | None) -> None:
    planted = Examples(TARGETS.images, TARGETS.labels, {"planted": TARGETS.labels != 2})
    assert tried("blur", images=planted, target_class=1)
    images = planted if target_class == 2 else planted.select(np.flatnonzero(planted.labels != 2))
    with pytest.raises(ConfigError, match="at least 2 test images without the feature") as caught:
        tried("blur", images=images, target_class=target_class)
    assert caught.value.key == "transformations.mine"


@pytest.mark.parametrize("content", ["cut short", "no picture"])
def test_a_picture_that_cannot_be_read_to_its_end(tmp_path: Path, content: str) -> None:
    path = tmp_path / "face.jpg"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "cut short" else b"no picture")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match="a picture that can be read") as caught:
        tried("face", picture=str(path), sha256=sha, size=40)
    assert caught.value.key == "transformations.mine.parameters.picture"


def test_a_home_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="the path of a picture") as caught:
        tried("face", picture="~nobody-of-this-name/face.jpg", sha256="")
    assert caught.value.key == "transformations.mine.parameters.picture"


def test_both_halves_of_a_search_need_images_of_two_classes() -> None:
    check_halves(np.arange(20) % 4, SearchSettings())
    for labels in (np.zeros(40, dtype=np.int64), np.arange(3)):
        with pytest.raises(ConfigError, match="2 test images or more beside each class") as caught:
            check_halves(labels, SearchSettings())
        assert caught.value.key == "targets"
