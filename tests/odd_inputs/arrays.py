"""NumPy archives with one oddity each: ``write_case(name, path)`` writes one of ``CASES``.

The base is 90 + 45 digits of three classes, 8×8 gray pixels as bytes; each case changes what it names.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

TRAIN, TEST = 90, 45
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One oddity.

    change: from the plain arrays to those that are to be changed; None takes one out. said: words that the table, a
    warning or the error has to have. refused: whether there is no dataset. classes: the names that the labels end up
    with. labels: what they end up as, if not as they were. pixels: as `labels`, of the training images.
    """

    change: Callable[[Arrays], dict[str, Any]]
    said: tuple[str, ...] = ()
    refused: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ("0", "1", "2")
    labels: Callable[[Arrays], tuple[np.ndarray, np.ndarray]] = lambda a: (a["y_train"], a["y_test"])
    pixels: Callable[[Arrays], np.ndarray] = lambda a: a["x_train"][..., None]


@cache
def plain() -> Arrays:
    """The arrays without an oddity; every class is in both parts, no image twice."""
    digits = load_digits(n_class=3)
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return {
        "x_train": pixels[:TRAIN],
        "y_train": labels[:TRAIN],
        "x_test": pixels[TRAIN : TRAIN + TEST],
        "y_test": labels[TRAIN : TRAIN + TEST],
    }


def write_case(name: str, path: Path) -> Case:
    """Write the archive of a case."""
    case = CASES[name]
    arrays = {**plain(), **case.change(plain())}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return case


def images(of: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: {f"x_{part}": of(a[f"x_{part}"]) for part in ("train", "test")}


def labels(of: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: {f"y_{part}": of(a[f"y_{part}"]) for part in ("train", "test")}


def columns(train: Any, test: Any, name: str = "score") -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: {f"{name}_train": train, f"{name}_test": test}


def named(*names: Any) -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: {"classes": np.array(names)}


def marked(label: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return labels of which every seventh is another."""
    return lambda y: np.where(np.arange(len(y)) % 7, y, label)


def without(label: int) -> Callable[[Arrays], tuple[np.ndarray, np.ndarray]]:
    """Return what stays of labels when every seventh is left out."""
    del label
    return lambda a: tuple(a[f"y_{part}"][np.arange(len(a[f"y_{part}"])) % 7 > 0] for part in ("train", "test"))


def some_test_labels(label: Any) -> Callable[[Arrays], dict[str, Any]]:
    return lambda a: {"y_test": np.where(np.arange(TEST) < 3, label, a["y_test"])}


def rgb(x: np.ndarray) -> np.ndarray:
    return np.stack([x, x // 2, x // 3], -1)


def many_classes(kind: type) -> Callable[[Arrays], dict[str, Any]]:
    """Labels 0..127 in a type that holds no 128."""
    one = np.arange(128).astype(kind)
    noise = np.random.default_rng(0).integers(256, size=(256, 8, 8), dtype=np.uint8)
    return lambda a: {"x_train": noise[:128], "y_train": one, "x_test": noise[128:], "y_test": one}


HUNDRED = tuple(str(i) for i in range(128))
BY_NAME = np.array(["cat", "dog", "bird"])
FROM_ONE = {"options": {"relabel": True}, "classes": ("1", "2", "3")}
TOLD = ("label 0: bird",)


def by_name(a: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Labels of cat, dog, bird in the order of their names: 1, 2, 0."""
    return tuple((a[f"y_{part}"] + 1) % 3 for part in ("train", "test"))


CASES: dict[str, Case] = {
    "plain": Case(lambda a: {}),
    # labels: types
    **{f"labels {kind}": Case(labels(lambda y, kind=kind: y.astype(kind))) for kind in ("u1", "u2", "u8", "i1", ">i4")},
    **{
        f"128 classes {kind.__name__}": Case(
            many_classes(kind),
            classes=HUNDRED,
            labels=lambda a: (np.arange(128), np.arange(128)),
            pixels=lambda a: many_classes(np.uint8)(a)["x_train"][..., None],
        )
        for kind in (np.int8, np.uint8)
    },
    "labels bool": Case(
        labels(lambda y: y > 0), classes=("0", "1"), labels=lambda a: (1 * (a["y_train"] > 0), 1 * (a["y_test"] > 0))
    ),
    "labels float": Case(
        labels(lambda y: y.astype(float)), ("must be integers, got float64", "dataset.relabel=true takes"), refused=True
    ),
    "labels float relabeled": Case(labels(lambda y: y.astype(np.float32)), options={"relabel": True}),
    "labels half": Case(
        labels(lambda y: y + 0.5), ("y_train", "must be integers, got float64", "that of image 0 is"), refused=True
    ),
    "labels NaN": Case(
        labels(lambda y: np.where(y, y, np.nan)),
        ("must be integers, got float64", "are NaN or infinite, the first that of image", "dataset.ignore_label"),
        refused=True,
    ),
    **{
        f"labels text {missing!r}": Case(
            labels(lambda y, missing=missing: np.array(["ant", missing, "cat"])[y]),
            (f"a class is named {missing!r}: are labels missing there?",),
            classes=tuple(sorted(("ant", missing, "cat"))),
            labels=lambda a, missing=missing: tuple(
                np.argsort(np.argsort(["ant", missing, "cat"]))[a[f"y_{part}"]] for part in ("train", "test")
            ),
        )
        for missing in ("", "nan")
    },
    "labels uint64 beyond": Case(
        labels(lambda y: y.astype(np.uint64) + np.uint64(2**63)), ("more than there can be classes",), refused=True
    ),
    "labels complex": Case(labels(lambda y: y * 1j), ("must be integers, got complex128",), refused=True),
    "labels objects": Case(labels(lambda y: y.astype(object)), ("array y_train", "fixed-width text"), refused=True),
    "labels column": Case(labels(lambda y: y[:, None])),
    "labels one hot": Case(labels(lambda y: np.eye(3, dtype=int)[y]), ("one hot", "argmax(1)"), refused=True),
    "labels too few": Case(
        lambda a: {"y_train": a["y_train"][:-1]}, ("y_train: 90 images but labels of shape (89,)",), refused=True
    ),
    # labels: text
    "labels text": Case(labels(lambda y: BY_NAME[y]), TOLD, classes=("bird", "cat", "dog"), labels=by_name),
    "labels bytes": Case(
        labels(lambda y: BY_NAME.astype("S")[y]), TOLD, classes=("bird", "cat", "dog"), labels=by_name
    ),
    "labels text of numbers": Case(
        labels(lambda y: np.array(["10", "2", "1"])[y]),
        ("label 0: 1 ", "label 2: 10"),
        classes=("1", "2", "10"),
        labels=lambda a: tuple(2 - a[f"y_{part}"] for part in ("train", "test")),
    ),
    "labels text, classes in their order": Case(
        lambda a: {**labels(lambda y: BY_NAME[y])(a), "classes": BY_NAME}, classes=("cat", "dog", "bird")
    ),
    "labels text in training alone": Case(
        lambda a: {"y_train": BY_NAME[a["y_train"]]}, ("must be integers, got <U4", "both parts"), refused=True
    ),
    "labels text, one class in test alone": Case(
        lambda a: {"y_train": BY_NAME[a["y_train"] % 2], "y_test": BY_NAME[a["y_test"]]},
        ("of classes without training images (bird)", "cat, dog", "dataset.relabel=true leaves them out"),
        refused=True,
    ),
    # labels: which there are
    "labels from 1": Case(
        labels(lambda y: y + 1),
        ("do not begin with 0", "the training labels are 1..3", "relabel=true", "1 → 0, 2 → 1"),
        refused=True,
    ),
    "labels from 1 relabeled": Case(labels(lambda y: y + 1), ("label 0: 1", "label 2: 3"), **FROM_ONE),
    "labels from 1 relabeled, bytes": Case(labels(lambda y: (y + 1).astype(np.uint8)), **FROM_ONE),
    "labels from 1, named": Case(
        lambda a: {**labels(lambda y: y + 1)(a), **named("a", "b", "c")(a)},
        ("label 0: a (written 1)",),
        options={"relabel": True},
        classes=("a", "b", "c"),
    ),
    "labels with a gap": Case(
        labels(lambda y: np.array([0, 1, 7])[y]), ("have gaps", "0, 1, 7", "7 → 2", "relabel=true"), refused=True
    ),
    "labels with a gap relabeled": Case(
        labels(lambda y: np.array([0, 1, 7])[y]), ("label 2: 7",), options={"relabel": True}, classes=("0", "1", "7")
    ),
    "labels huge": Case(labels(lambda y: y * 12345678), ("have gaps", "24691356"), refused=True),
    "labels with -1": Case(labels(marked(-1)), ("label -1 of image 0", "dataset.ignore_label=-1"), refused=True),
    "labels with 255": Case(labels(marked(255)), ("255", "dataset.ignore_label=255", "relabel=true"), refused=True),
    **{
        f"labels with {label} ignored": Case(
            labels(marked(label)),
            (f"of the label {label} (dataset.ignore_label)", "13", "7"),
            options={"ignore_label": label},
            labels=without(label),
            pixels=lambda a: a["x_train"][np.arange(TRAIN) % 7 > 0][..., None],
        )
        for label in (-1, 255)
    },
    "one class": Case(labels(lambda y: y * 0), ("90 training images are of one class, 0",), refused=True),
    "a class in test alone": Case(
        some_test_labels(3),
        ("y_test: 3 test images are of labels without training images (3)", "the training labels are 0..2"),
        refused=True,
    ),
    "a class in test alone relabeled": Case(
        some_test_labels(3),
        ("left out", "of labels without training images: 3"),
        options={"relabel": True},
        labels=lambda a: (a["y_train"], a["y_test"][3:]),
    ),
    "a class in training alone": Case(
        lambda a: {"y_train": np.where(np.arange(TRAIN) % 3, a["y_train"], 3)},
        ("no test image is of 3: trained on",),
        classes=("0", "1", "2", "3"),
        labels=lambda a: (np.where(np.arange(TRAIN) % 3, a["y_train"], 3), a["y_test"]),
    ),
    "names": Case(named("a", "b", "c"), ("label 1: b",), classes=("a", "b", "c")),
    "names that are numbers": Case(named(10, 20, 30), ("label 0: 10",), classes=("10", "20", "30")),
    "names with markup": Case(named("<b>a</b>", "b & c", "ü|猫\n"), classes=("<b>a</b>", "b & c", "ü|猫\n")),
    "names too few": Case(
        named("a", "b"), ("y_train: label 2 of image", "not in 0..1", "0..2", "Name all of them"), refused=True
    ),
    "names twice": Case(named("a", "a", "b"), ("classes: two have one name (a)", ".npz"), refused=True),
    "a name that never occurs": Case(
        named("a", "b", "c", "never"),
        ("no training image is of the class never", "a, b, c", "dataset.relabel=true"),
        refused=True,
    ),
    "a name that never occurs relabeled": Case(
        named("a", "never", "c", "d"),
        options={"relabel": True},
        classes=("a", "never", "c"),
    ),
    # sizes
    "no test image": Case(
        lambda a: {"x_test": a["x_test"][:0], "y_test": a["y_test"][:0]}, ("x_test holds no image",), refused=True
    ),
    "no training image": Case(
        lambda a: {"x_train": a["x_train"][:0], "y_train": a["y_train"][:0]}, ("x_train holds no image",), refused=True
    ),
    "no test part": Case(lambda a: {"x_test": None, "y_test": None}, ("lacks x_test, y_test",), refused=True),
    "another case": Case(
        lambda a: {"X_train": a["x_train"], "x_train": None}, ("is X_train meant as x_train?",), refused=True
    ),
    # pixels: order of axes
    "channels first, gray": Case(
        images(lambda x: x[:, None]),
        ("(90, 1, 8, 8)", "dataset.channels_first=true", "transpose(0, 2, 3, 1)"),
        refused=True,
    ),
    "channels first, color": Case(
        images(lambda x: rgb(x).transpose(0, 3, 1, 2)), ("3 high, 8 wide, with 8 channels",), refused=True
    ),
    "channels first, bands": Case(
        images(lambda x: np.repeat(x[:, None], 13, 1)), ("13 high, 8 wide, with 8 channels",), refused=True
    ),
    "channels first, said": Case(
        images(lambda x: rgb(x).transpose(0, 3, 1, 2)),
        options={"channels_first": True},
        pixels=lambda a: rgb(a["x_train"]),
    ),
    "channels last, said": Case(
        images(lambda x: x[:, :3, :, None].repeat(5, 3)),
        options={"channels_first": False},
        pixels=lambda a: a["x_train"][:, :3, :, None].repeat(5, 3),
    ),
    "gray with an axis": Case(images(lambda x: x[..., None])),
    "color": Case(images(rgb), pixels=lambda a: rgb(a["x_train"])),
    "color in Fortran's order": Case(images(lambda x: np.asfortranarray(rgb(x))), pixels=lambda a: rgb(a["x_train"])),
    "thirteen bands": Case(
        images(lambda x: x[..., None].repeat(13, 3)), pixels=lambda a: a["x_train"][..., None].repeat(13, 3)
    ),
    "images of no pixels": Case(
        images(lambda x: x[:, :0]), ("x_train: images of no pixels, got shape (90, 0, 8, 1)",), refused=True
    ),
    "another array": Case(lambda a: {"weights": np.ones(90), "note": np.array("x")}, ("not read: note, weights",)),
    "flat": Case(images(lambda x: x.reshape(len(x), -1)), ("a row of 64 numbers", "reshape(-1, 8, 8)"), refused=True),
    "another shape in test": Case(
        lambda a: {"x_test": a["x_test"][:, :7]},
        ("training images are (8, 8, 1), test images (7, 8, 1)",),
        refused=True,
    ),
    # pixels: scales
    **{
        f"floats 0..1, {kind}": Case(images(lambda x, kind=kind: (x / 255).astype(kind)))
        for kind in ("f8", "f4", ">f4", "f2")
    },
    "floats beyond 1 by rounding": Case(
        images(lambda x: ((x / 255).astype(np.float32) * np.float32(1.0000002)).astype(np.float32))
    ),
    "floats beyond 1 by more": Case(images(lambda x: x / 255 * 1.001), ("got 0..1.001",), refused=True),
    "floats below 0": Case(images(lambda x: x / 255 - 0.0009765625), ("got -0.0009765625..0.999",), refused=True),
    "floats 0..255": Case(
        images(lambda x: x.astype(np.float32)), ("0..255", "divide by 255", "pixel_range=[0,255]"), refused=True
    ),
    "floats 0..16": Case(images(lambda x: x / 255 * 16), ("divide by 16", "pixel_range=[0,16]"), refused=True),
    "floats -1..1": Case(
        images(lambda x: x / 127.5 - 1), ("add 1 and divide by 2", "pixel_range=[-1,1]"), refused=True
    ),
    "floats of deviations": Case(images(lambda x: x / 40.0 - 2.5), ("a mean was taken away",), refused=True),
    "floats -1..1 said": Case(images(lambda x: x / 127.5 - 1), options={"pixel_range": [-1, 1]}),
    "floats 0..16 said": Case(images(lambda x: x.astype(np.float32) / 255 * 16), options={"pixel_range": [0, 16]}),
    "beyond what is said": Case(
        images(lambda x: x.astype(float)), ("dataset.pixel_range, 0..16, got 0..255",), True, {"pixel_range": [0, 16]}
    ),
    "int64": Case(images(lambda x: x.astype(np.int64)), ("got int64 in 0..255", "astype(uint8)"), refused=True),
    "int64 said": Case(images(lambda x: x.astype(np.int64)), options={"pixel_range": [0, 255]}),
    "uint16": Case(images(lambda x: x.astype(np.uint16) * 257), ("uint16", "pixel_range=[0,65535]"), refused=True),
    "uint16 said": Case(images(lambda x: x.astype(np.uint16) * 257), options={"pixel_range": [0, 65535]}),
    "booleans": Case(
        images(lambda x: x > 127), ("exact copies",), pixels=lambda a: np.where(a["x_train"] > 127, 255, 0)[..., None]
    ),
    "NaN": Case(images(lambda x: np.where(x == 255, np.nan, x / 255)), ("x_train: image", "NaN"), refused=True),
    "bytes 0..1": Case(
        images(lambda x: (x > 127).astype(np.uint8)),
        ("brightest pixel of all images is 1", "pixel_range=[0,1]"),
        pixels=lambda a: (a["x_train"] > 127).astype(np.uint8)[..., None],
    ),
    "bytes 0..16": Case(
        images(lambda x: x // 16),
        ("brightest pixel of all images is 15", "0..16"),
        pixels=lambda a: (a["x_train"] // 16)[..., None],
    ),
    "bytes 0..1 said": Case(
        images(lambda x: (x > 127).astype(np.uint8)),
        ("exact copies",),
        options={"pixel_range": [0, 1]},
        pixels=lambda a: np.where(a["x_train"] > 127, 255, 0)[..., None],
    ),
    "constant": Case(
        images(lambda x: x * 0),
        ("all 90 training images are of one color", "all 45 test images", "of one color all over"),
        pixels=lambda a: a["x_train"][..., None] * 0,
    ),
    "constant training images": Case(
        lambda a: {"x_train": a["x_train"] * 0 + 7},
        ("all 90 training images are of one color",),
        pixels=lambda a: a["x_train"][..., None] * 0 + 7,
    ),
    "three constant images": Case(
        lambda a: {"x_train": np.where(np.arange(TRAIN)[:, None, None] < 3, np.uint8(9), a["x_train"])},
        ("of one color all over", "train 0, train 1, train 2"),
        pixels=lambda a: np.where(np.arange(TRAIN)[:, None, None] < 3, np.uint8(9), a["x_train"])[..., None],
    ),
    "bytes and floats": Case(lambda a: {"x_test": a["x_test"] / 255}, ("x_train holds uint8, x_test float64",)),
    "objects": Case(
        lambda a: {"x_train": a["x_train"].astype(object)}, ("array x_train", "Python objects"), refused=True
    ),
    # copies
    "every image four times": Case(
        lambda a: {
            "x_train": np.repeat(a["x_train"][:30], 4, 0)[:TRAIN],
            "y_train": np.repeat(a["y_train"][:30], 4)[:TRAIN],
        },
        ("exact copies within a part",),
        labels=lambda a: (np.repeat(a["y_train"][:30], 4)[:TRAIN], a["y_test"]),
        pixels=lambda a: np.repeat(a["x_train"][:30], 4, 0)[:TRAIN, ..., None],
    ),
    "test images in training": Case(
        lambda a: {"x_test": a["x_train"][:TEST], "y_test": a["y_train"][:TEST]},
        ("45 training and 45 test images are exact copies in training and test alike",),
        labels=lambda a: (a["y_train"], a["y_train"][:TEST]),
    ),
    # metadata
    "column in training alone": Case(
        lambda a: {"site_train": np.arange(TRAIN)}, ("metadata site_test is missing",), refused=True
    ),
    "column of complex numbers": Case(
        columns(np.ones(TRAIN) * 1j, np.ones(TEST) * 1j), ("metadata 'score'", "complex128"), refused=True
    ),
    "column of two types": Case(
        columns(np.ones(TRAIN), np.array(["a"] * TEST)),
        ("metadata 'score': numbers (float64)", "text (<U1) in the test set"),
        refused=True,
    ),
    "column named planted": Case(
        columns(np.array(["no"] * TRAIN), np.array(["no"] * TEST), "planted"),
        ("metadata 'planted'", "of type bool, got <U2"),
        refused=True,
    ),
    "column named class": Case(
        columns(np.arange(TRAIN), np.arange(TEST), "class"), ("metadata 'class'", "in another way"), refused=True
    ),
    "flag named rank": Case(
        columns(np.arange(TRAIN) > 3, np.arange(TEST) > 3, "rank"), ("metadata 'rank'", "tables"), refused=True
    ),
    "column without a name": Case(
        columns(np.arange(TRAIN), np.arange(TEST), ""), ("an array named '_train'",), refused=True
    ),
    "column of another length": Case(
        columns(np.arange(TRAIN - 1), np.arange(TEST)), ("metadata score_train is of shape (89,)",), refused=True
    ),
    "column of masks of another size": Case(
        columns(np.zeros((TRAIN, 4, 4), bool), np.zeros((TEST, 4, 4), bool)),
        ("metadata score_train has masks of (4, 4)", "(8, 8)"),
        refused=True,
    ),
    "column of records": Case(
        columns(np.zeros(TRAIN, "i4,f4"), np.zeros(TEST, "i4,f4")), ("metadata 'score': values of type",), refused=True
    ),
    "column with NaN": Case(columns(np.where(np.arange(TRAIN) % 3, 1.0, np.nan), np.ones(TEST))),
    "column big endian": Case(columns(np.arange(TRAIN).astype(">f8"), np.ones(TEST))),
    "column of bytes": Case(columns(np.array([b"a", b"b"] * 45), np.array([b"a"] * TEST))),
    "column of dates": Case(
        columns(np.array(["2020-01-01"] * TRAIN, "datetime64[D]"), np.array(["2020-01-01"] * TEST, "datetime64[D]"))
    ),
}
