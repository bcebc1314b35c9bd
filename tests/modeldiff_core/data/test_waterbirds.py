"""Waterbirds in its published layout, with small images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data.waterbirds import Waterbirds
from modeldiff_core.errors import DataError

HEADER = "img_id,img_filename,y,split,place,place_filename"
ROWS = [  # y, split, place
    (0, 0, 0),
    (1, 0, 1),
    (1, 0, 0),
    (0, 2, 1),
    (1, 2, 1),
    (0, 1, 0),
    (0, 0, 0),
    (1, 2, 0),
    (1, 1, 1),
]


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(256, size=(8, 8, 3), dtype=np.uint8)


def published(root: Path) -> Path:
    lines = [HEADER]
    for number, (y, split, place) in enumerate(ROWS):
        name = f"{number:03d}.Some_bird/Some_bird_{number}.png"
        (root / name).parent.mkdir(parents=True)
        Image.fromarray(pixels(number)).save(root / name)
        lines.append(f'{number + 1},{name},{y},{split},{place},"/f/forest, broad/{number}.jpg"')
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def source(root: Path, **settings: object) -> Waterbirds:
    return Waterbirds(folder=str(root), resolution=8, resize_ratio=1.0, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("test_split", "code"), [("test", 2), ("val", 1)])
def test_images_labels_and_metadata_travel_together(tmp_path: Path, test_split: str, code: int) -> None:
    birds = source(published(tmp_path), test_split=test_split)
    dataset = birds.load()
    assert dataset.classes == ("landbird", "waterbird")
    for part, wanted in ((dataset.train, 0), (dataset.test, code)):
        numbers = [number for number, (_, split, _) in enumerate(ROWS) if split == wanted]
        assert len(numbers) > 1
        np.testing.assert_array_equal(part.images, [pixels(number) for number in numbers])
        assert part.labels.tolist() == [ROWS[number][0] for number in numbers]
        assert part.metadata["background"].tolist() == [ROWS[number][2] for number in numbers]
        assert part.metadata["group"].tolist() == [2 * ROWS[number][0] + ROWS[number][2] for number in numbers]
    assert birds.files()[0].name == "metadata.csv"
    assert len(birds.files()) == 1 + len(dataset.train) + len(dataset.test)


def test_a_choice_keeps_them_together(tmp_path: Path) -> None:
    dataset = source(published(tmp_path), n_train=2).load()
    known = {pixels(number).tobytes(): row for number, row in enumerate(ROWS)}
    assert sorted(dataset.train.labels.tolist()) == [0, 1]
    rows = [known[image.tobytes()] for image in dataset.train.images]
    assert dataset.train.metadata["group"].tolist() == [2 * y + place for y, _, place in rows]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1,0,1,", ",2,0,1,", r"line 3: y '2' is not in 0\.\.1"),
        (",1,0,1,", ",,0,1,", "line 3: y '' is not in"),
        (",1,0,1,", ",1,3,1,", r"line 3: split '3' is not in 0\.\.2"),
        (",1,0,1,", ",1,0,-1,", r"line 3: place '-1' is not in 0\.\.1"),
        ('_1.png,1,0,1,"/f/forest, broad/1.jpg"', "_1.png,1", "line 3: split None"),
        (",y,", ",label,", "lacks the columns y"),
        ("img_filename", "file", "lacks the columns img_filename"),
    ],
)
def test_lines_and_columns_at_fault_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = published(tmp_path) / "metadata.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=f"metadata.csv: {message}"):
        source(tmp_path).load()


def test_missing_files_and_parts_are_named(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "001.Some_bird" / "Some_bird_1.png").unlink()
    with pytest.raises(DataError, match=r"001\.Some_bird/Some_bird_1\.png"):
        source(root).load()
    text = (root / "metadata.csv").read_text()
    (root / "metadata.csv").write_text(text.replace(",2,", ",1,"))
    with pytest.raises(DataError, match=r"metadata\.csv: no image of split 2 \(test\)"):
        source(root).load()
    (root / "metadata.csv").write_bytes(b"img_id\xff\xfe")
    with pytest.raises(DataError, match=r"metadata\.csv: cannot be read"):
        source(root).load()
    (root / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"metadata\.csv: cannot be read"):
        source(root).load()
