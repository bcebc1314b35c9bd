"""Living17: the grouping against the authors' procedure, and ImageNet's folders in small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data.living17 import LIVING17, Living17
from modeldiff_core.errors import DataError

# ImageNet's classes below each node of the authors' hierarchy that Living17 takes, by the node's WordNet number.
# Of the 118 dogs only the number is needed to repeat the draws of the others.
CANDIDATES = {
    "salamander": "1629819 1630670 1631663 1632458 1632777",
    "turtle": "1664065 1665541 1667114 1667778 1669191",
    "lizard": "1675722 1677366 1682714 1685808 1687978 1688243 1689811 1692333 1693334 1694178 1695060",
    "snake": "1728572 1728920 1729322 1729977 1734418 1735189 1737021 1739381 1740131 1742172 1744401 1748264 "
    "1749939 1751748 1753488 1755581 1756291",
    "spider": "1773157 1773549 1773797 1774384 1774750 1775062",
    "grouse": "1795545 1796340 1797886 1798484",
    "parrot": "1817953 1818515 1819313 1820546",
    "crab": "1978287 1978455 1980166 1981276",
    "dog": " ".join(["0"] * 118),
    "wolf": "2114367 2114548 2114712 2114855",
    "fox": "2119022 2119789 2120079 2120505",
    "domestic cat": "2123045 2123159 2123394 2123597 2124075",
    "bear": "2132136 2133161 2134084 2134418",
    "beetle": "2165105 2165456 2167151 2168699 2169497 2172182 2174001 2177972",
    "butterfly": "2276258 2277742 2279972 2280649 2281406 2281787",
    "ape": "2480495 2480855 2481823 2483362 2483708",
    "monkey": "2484975 2486261 2486410 2487347 2488291 2488702 2489166 2490219 2492035 2492660 2493509 2493793 2494079",
}


def test_the_grouping_is_what_the_authors_procedure_draws() -> None:
    assert list(LIVING17) == list(CANDIDATES)
    assert len({synset for synsets in LIVING17.values() for synset in synsets}) == 17 * 4
    rng = np.random.RandomState(2)
    for name, numbers in CANDIDATES.items():
        drawn = rng.choice([f"n{int(number):08d}" for number in numbers.split()], 4, replace=False)
        if name != "dog":
            assert LIVING17[name] == tuple(drawn), name
    assert all("n02085620" <= synset <= "n02113978" for synset in LIVING17["dog"]), "ImageNet's dogs"


def imagenet(root: Path) -> Path:
    """Two training and one validation image a synset, filled with its number; and a class that is not asked for."""
    for part, count in (("train", 2), ("val", 1)):
        for number, synset in enumerate([*(s for group in LIVING17.values() for s in group), "n01440764"]):
            folder = root / part / synset
            folder.mkdir(parents=True)
            for index in range(count):
                color = (number, index, 7 if part == "val" else 0)
                Image.fromarray(np.full((8, 8, 3), color, np.uint8)).save(folder / f"{synset}_{index}.JPEG", "PNG")
    return root


def test_labels_and_synsets_follow_the_folders(tmp_path: Path) -> None:
    dataset = Living17(folder=str(imagenet(tmp_path)), resolution=8).load()
    assert dataset.classes == tuple(LIVING17)
    synsets = [synset for group in LIVING17.values() for synset in group]
    for part, count, blue in ((dataset.train, 2, 0), (dataset.test, 1, 7)):
        assert len(part) == 68 * count
        numbers = part.images[:, 0, 0, 0]
        assert numbers.tolist() == [number for number in range(68) for _ in range(count)]
        assert (part.images == part.images[:, :1, :1]).all()
        assert (part.images[..., 2] == blue).all()
        assert part.labels.tolist() == (numbers // 4).tolist()
        assert part.metadata["synset"].tolist() == [synsets[number] for number in numbers]
    assert dataset.train.metadata["synset"].dtype == np.dtype("U9")


def test_a_choice_keeps_synsets_and_images_together(tmp_path: Path) -> None:
    part = Living17(folder=str(imagenet(tmp_path)), resolution=8, n_train=34, n_test=17).load().train
    assert np.bincount(part.labels).tolist() == [2] * 17
    synsets = [synset for group in LIVING17.values() for synset in group]
    assert part.metadata["synset"].tolist() == [synsets[number] for number in part.images[:, 0, 0, 0]]


def test_a_missing_or_empty_synset_is_named(tmp_path: Path) -> None:
    root = imagenet(tmp_path)
    for path in (root / "val" / "n02088466").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="val/n02088466: holds no image"):
        Living17(folder=str(root), resolution=8).load()
    (root / "val" / "n02088466").rmdir()
    with pytest.raises(DataError, match="val/n02088466: no such folder"):
        Living17(folder=str(root), resolution=8).load()
