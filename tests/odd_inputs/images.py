"""Folders of images with one oddity each: ``write_case(name, folder)`` makes one of ``CASES``.

Every folder has four training and two test images of each of the classes cat and dog, of different noise; the oddity
stands in the training images of cat unless its case says otherwise.
"""

import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

SIZE = 40, 30
RED, BLACK, GREEN, WHITE = (255, 0, 0), (0, 0, 0), (0, 255, 0), (255, 255, 255)


@dataclass(frozen=True)
class Case:
    """One oddity.

    make: puts it into the folder of the class cat of the training part. said: words that the table, a warning or the
    error has to have. refused: whether there is no dataset. cats: training images of the first class that are taken.
    last: colors of the top left and bottom right of the last training image of cat, in a square of 8.
    """

    make: Callable[[Path], None]
    said: tuple[str, ...] = ()
    refused: bool = False
    cats: int = 4
    last: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    options: tuple[tuple[str, object], ...] = ()
    classes: tuple[str, ...] = ("cat", "dog")


def noise(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture unlike any other."""
    small = np.random.default_rng(seed).integers(256, size=(6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BILINEAR)


def half(color: tuple[int, int, int] = RED, size: tuple[int, int] = SIZE) -> Image.Image:
    """The left half of one color, the right half black, so that it shows how the picture lies."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2] = color
    return Image.fromarray(pixels)


def base(root: Path) -> Path:
    """Write the plain data set and return the folder of the class cat of its training part."""
    seed = 0
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                seed += 1
                noise(seed).save(folder / f"{index}.png")
    return root / "train" / "cat"


def write_case(name: str, root: Path) -> Case:
    """Write the folder of a case."""
    case = CASES[name]
    case.make(base(root))
    return case


def saved(name: str, **how: object) -> Callable[[Path], None]:
    """Return what saves the two-colored picture under a name."""
    return lambda folder: half().save(folder / name, **how)


def turned(ending: str, orientation: int, **how: object) -> Callable[[Path], None]:
    """Return what saves an upright picture as a camera held in another way would: its tag says how to turn it back."""
    back = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]

    def make(folder: Path) -> None:
        picture = half(size=(40, 40))
        for step in back:
            picture = picture.transpose(step)
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(folder / f"odd.{ending}", exif=exif, **how)

    return make


def see_through(mode: str) -> Callable[[Path], None]:
    """Return what saves a picture whose left half is transparent and hides green; the right half is black."""

    def make(folder: Path) -> None:
        pixels = np.array(half(GREEN).convert("RGBA"))
        pixels[:, :20, 3] = 0
        image = Image.fromarray(pixels)
        if mode == "LA":
            image.convert("LA").save(folder / "odd.png")
        elif mode == "RGBA":
            image.save(folder / "odd.png")
        elif mode == "webp":
            image.save(folder / "odd.webp", lossless=True, exact=True)
        elif mode == "tif":
            image.save(folder / "odd.tif")
        else:
            flat = half(GREEN).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
            index = flat.getpixel((0, 0))
            if mode == "gif":
                flat.save(folder / "odd.gif", transparency=index)
            else:
                one = bytes(0 if i == index else 255 for i in range(2))
                flat.save(folder / "odd.png", transparency=index if mode == "P" else one)

    return make


def half_see_through(folder: Path) -> None:
    pixels = np.array(half(BLACK).convert("RGBA"))
    pixels[:, :20, 3] = 128
    Image.fromarray(pixels).save(folder / "odd.png")


def sixteen_bits(folder: Path) -> None:
    """Write a PNG of three channels of 16 bits, red on the left, which Pillow cannot write."""
    width, height = SIZE
    pixels = np.zeros((height, width, 3), ">u2")
    pixels[:, : width // 2, 0] = 65535
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "odd.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)


def content(name: str, raw: bytes) -> Callable[[Path], None]:
    """Return what writes a file of these bytes."""
    return lambda folder: (folder / name).write_bytes(raw) and None


def in_folder(name: str, *files: str, beside: bool = False) -> Callable[[Path], None]:
    """Return what makes a folder with pictures, in that of the class or beside it."""

    def make(folder: Path) -> None:
        inner = (folder.parent if beside else folder) / name
        inner.mkdir()
        for number, file in enumerate(files):
            noise(500 + number).save(inner / file)

    return make


def not_utf8(folder: Path) -> None:
    half().save(folder / "plain.png")
    os.rename(os.fsencode(folder / "plain.png"), os.fsencode(folder) + b"/zaf\xe9.png")  # noqa: PTH104 - bytes


def class_not_utf8(folder: Path) -> None:
    for part in ("train", "test"):
        old = os.fsencode(folder.parents[1] / part)
        os.rename(old + b"/cat", old + b"/caf\xe9")  # noqa: PTH104 - bytes


def all_in_sub_folders(folder: Path) -> None:
    (folder / "sub").mkdir()
    for path in folder.glob("*.png"):
        path.rename(folder / "sub" / path.name)


def renamed(part: str, to: str) -> Callable[[Path], None]:
    return lambda folder: (folder.parents[1] / part).rename(folder.parents[1] / to) and None


def renamed_class(part: str, to: str, name: str = "cat") -> Callable[[Path], None]:
    return lambda folder: (folder.parents[1] / part / name).rename(folder.parents[1] / part / to) and None


def numbers(folder: Path) -> None:
    for part in ("train", "test"):
        for old, new in (("cat", "10"), ("dog", "2")):
            renamed_class(part, new, old)(folder)


def other_class(part: str, count: int = 3, name: str = "bird") -> Callable[[Path], None]:
    """Return what adds a class to one part alone."""

    def make(folder: Path) -> None:
        inner = folder.parents[1] / part / name
        inner.mkdir()
        for number in range(count):
            noise(700 + number).save(inner / f"{number}.png")

    return make


def linked(folder: Path) -> None:
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "gone too.png").symlink_to("/nowhere/at/all.png")
    elsewhere = folder.parents[2] / "elsewhere.png"
    half().save(elsewhere)
    (folder / "z.png").symlink_to(elsewhere)


def special(folder: Path) -> None:
    """Write a pipe that nobody writes to, and a socket: whoever opened one would wait for ever."""
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            one.bind("socket.png")
        finally:
            os.chdir(before)


def keyed(mode: Literal["RGB", "L"]) -> Callable[[Path], None]:
    """Return what writes a picture without an alpha channel, of which one color is transparent."""

    def make(folder: Path) -> None:
        picture = half(RED).convert(mode)
        picture.save(folder / "odd.png", transparency=(0, 0, 0) if mode == "RGB" else 0)

    return make


def linked_in_a_circle(folder: Path) -> None:
    (folder / "again").symlink_to(folder)


def copies(folder: Path) -> None:
    """Write image 0 of cat once more among cats, and once among the test images of dog."""
    raw = (folder / "0.png").read_bytes()
    (folder / "again.png").write_bytes(raw)
    (folder.parents[1] / "test" / "dog" / "seen.png").write_bytes(raw)


def both(*makers: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for one in makers:
            one(folder)

    return make


UPRIGHT = {"cats": 5, "last": (RED, BLACK), "said": ("turned upright by their EXIF tag", "1", "train/cat/odd")}
ON_WHITE = {"cats": 5, "last": (WHITE, BLACK), "said": ("transparent pixels, laid on the background",)}
SYSTEM = {"said": ("left out", "files of an operating system or a tool")}
PLAIN = {"cats": 5, "last": (RED, BLACK)}

CASES: dict[str, Case] = {
    "plain": Case(lambda folder: None),
    **{f"exif {way}": Case(turned("jpg", way, quality=100, subsampling=0), **UPRIGHT) for way in range(2, 9)},
    "exif png": Case(turned("png", 6), **UPRIGHT),
    "exif tif": Case(turned("tif", 8), **UPRIGHT),
    "exif webp": Case(turned("webp", 3, lossless=True), **UPRIGHT),
    "exif upright": Case(saved("odd.jpg", exif=Image.Exif(), quality=100, subsampling=0), **PLAIN),
    **{f"transparent {mode}": Case(see_through(mode), **ON_WHITE) for mode in ("RGBA", "LA", "P", "P bytes", "gif")},
    "transparent webp": Case(see_through("webp"), **ON_WHITE),
    "transparent tif": Case(see_through("tif"), **ON_WHITE),
    "background": Case(
        see_through("RGBA"), ("laid on the background",), False, 5, ((9, 8, 7), BLACK), (("background", (9, 8, 7)),)
    ),
    "half transparent": Case(half_see_through, ("transparent pixels",), False, 5, ((127, 127, 127), BLACK)),
    "opaque alpha": Case(lambda folder: half().convert("RGBA").save(folder / "odd.png"), **PLAIN),
    "cmyk": Case(lambda f: half().convert("CMYK").save(f / "odd.jpg", quality=100, subsampling=0), **PLAIN),
    "16 bits of gray": Case(
        lambda f: Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)).save(f / "odd.png"),
        ("odd.png", "8-bit images are taken"),
        refused=True,
    ),
    "16 bits of color": Case(sixteen_bits, ("reduced from 16 to 8 bits", "odd.png"), cats=5, last=(RED, BLACK)),
    "gif with frames": Case(
        saved("odd.gif", save_all=True, append_images=[half(GREEN)]),
        ("several frames, of which the first is taken",),
        cats=5,
        last=(RED, BLACK),
    ),
    "mpo": Case(
        saved("odd.jpg", format="MPO", save_all=True, append_images=[half(GREEN)], quality=100, subsampling=0),
        ("several frames, of which the first is taken",),
        cats=5,
        last=(RED, BLACK),
    ),
    "jfif": Case(saved("odd.jfif", format="JPEG", quality=100, subsampling=0), **PLAIN),
    "jpe": Case(saved("odd.JPE", format="JPEG", quality=100, subsampling=0), **PLAIN),
    "qoi": Case(saved("odd.qoi"), **PLAIN),
    "tga": Case(saved("odd.tga"), **PLAIN),
    "upper case": Case(saved("odd.JPEG", format="JPEG", quality=100, subsampling=0), **PLAIN),
    "wrong ending": Case(saved("odd.jpg", format="PNG"), **PLAIN),
    "svg": Case(content("odd.svg", b"<svg/>"), ("a format that is not read here (.svg)", "train/cat/odd.svg")),
    "raw photographs": Case(both(*(content(f"odd{i}.NEF", b"II*") for i in range(5))), ("(.nef)", "5", "…")),
    "no heic": Case(content("odd.heic", b"x"), ("left out", "(.heic)")),
    "no avif": Case(content("odd.avif", b"x"), ("left out", "(.avif)")),
    "text beside": Case(content("notes.txt", b"x"), ("no images by their name (.txt)", "train/cat/notes.txt")),
    "no ending": Case(content("README", b"x"), ("no images by their name (no ending)",)),
    "hidden": Case(lambda folder: half().save(folder / ".hidden.png"), ("hidden", "train/cat/.hidden.png")),
    "hidden folder": Case(in_folder(".cache", "a.png"), ("hidden", "train/cat/.cache")),
    "copy of a Mac": Case(content("._0.png", b"\0\5\x16\7Mac OS X"), **SYSTEM),
    "archive of a Mac": Case(
        both(in_folder("__MACOSX", beside=True), lambda f: content("._0.png", b"\0")(f.parent / "__MACOSX")), **SYSTEM
    ),
    "desktops": Case(
        both(content(".DS_Store", b"\0"), content("Thumbs.db", b"\0"), content("desktop.ini", b"")), **SYSTEM
    ),
    "notebook": Case(in_folder(".ipynb_checkpoints", "a.png", beside=True), **SYSTEM),
    "images beside classes": Case(
        lambda folder: half().save(folder.parent / "loose.png"), ("images beside the folders of classes", "loose.png")
    ),
    "sub-folder": Case(
        in_folder("tabby", "n.png", "m.png"), ("images in sub-folders of a class", "2", "train/cat/tabby/m.png")
    ),
    "sub-folder taken": Case(in_folder("tabby", "n.png", "m.png"), cats=6, options=(("nested", True),)),
    "all in sub-folders": Case(
        all_in_sub_folders, ("train/cat: holds no image", "4 in sub", "dataset.nested=true"), refused=True
    ),
    "links": Case(linked, ("links to what is not there", "2", "gone.png"), cats=5, last=(RED, BLACK)),
    "link in a circle": Case(linked_in_a_circle),
    "name that is not UTF-8": Case(not_utf8, **PLAIN),
    "class that is not UTF-8": Case(class_not_utf8, ("label 0: caf\\xe9",), classes=("caf\\xe9", "dog")),
    "names": Case(both(saved("é ü 猫 (1).png"), saved("zz\nb.png"), saved("quote'\".png")), cats=7),
    **{f"test part named {name}": Case(renamed("test", name)) for name in ("val", "valid", "validation", "Test")},
    "training": Case(renamed("train", "training")),
    "test part of another name": Case(
        renamed("test", "holdout"), ("no such folder", "validation", "the folders holdout, train"), refused=True
    ),
    "another folder": Case(
        lambda folder: (folder.parents[1] / "val").mkdir(), ("folders beside train and test are not read: val",)
    ),
    "class without test images": Case(
        other_class("train"),
        ("no test image is of bird: trained on", "label 0: bird"),
        cats=3,
        classes=("bird", "cat", "dog"),
    ),
    "class with an empty test folder": Case(
        both(other_class("train"), other_class("test", 0)),
        ("no test image is of bird: trained on",),
        cats=3,
        classes=("bird", "cat", "dog"),
    ),
    "class without training images": Case(
        other_class("test"), ("test/bird: a class that", "cat, dog", "give it training images"), refused=True
    ),
    "empty class": Case(other_class("train", 0), ("train/bird: holds no image",), refused=True),
    "class in another case": Case(renamed_class("test", "Cat"), ("test/Cat", "is it 'cat'"), refused=True),
    "class in another form": Case(
        both(renamed_class("train", "caf\u00e9"), renamed_class("test", "cafe\u0301")),
        ("a class that", "is it 'caf\u00e9'", "spelled in another way"),
        refused=True,
    ),
    "numbers": Case(
        numbers,
        ("label 0: 2", "label 1: 10", "natural order, 2, 10", "class_order=text labels them 10, 2"),
        classes=("2", "10"),
    ),
    "numbers as text": Case(
        numbers, ("label 0: 10", "label 1: 2"), options=(("class_order", "text"),), classes=("10", "2")
    ),
    "special files": Case(special, ("neither files nor folders", "2")),
    "a color that is transparent": Case(
        keyed("RGB"), ("with transparent pixels", "train/cat/odd.png"), cats=5, last=(RED, WHITE)
    ),
    "a gray that is transparent": Case(keyed("L"), ("with transparent pixels", "train/cat/odd.png"), cats=5),
    "the folder of a part": Case(
        lambda folder: (
            [(folder.parents[1] / part).rename(folder.parents[1] / f"{part}ed") for part in ("train", "test")] and None
        ),
        ("no such folder, nor one named training", "holds the folders tested, trained"),
        refused=True,
    ),
    "long strip": Case(
        lambda folder: half(size=(3000, 1)).save(folder / "odd.png"), ("more than half cut away", "odd.png"), cats=5
    ),
    "tall strip": Case(
        lambda folder: half(size=(17, 400)).save(folder / "odd.png"), ("more than half cut away",), cats=5
    ),
    "one pixel": Case(
        lambda folder: half(size=(1, 1)).save(folder / "odd.png"),
        ("enlarged more than fourfold", "of one color all over"),
        cats=5,
    ),
    "copies": Case(
        copies,
        ("exact copies within a part", "exact copies in training and test alike", "exact copies of another class"),
        cats=5,
    ),
    "empty file": Case(content("odd.jpg", b""), ("odd.jpg: not an image that can be decoded",), refused=True),
    "page in place of an image": Case(content("odd.png", b"<html>404"), ("odd.png: not an image",), refused=True),
    "cut short": Case(
        lambda folder: (folder / "odd.png").write_bytes((folder / "0.png").read_bytes()[:-900]) and None,
        ("odd.png: not an image that can be decoded",),
        refused=True,
    ),
}
