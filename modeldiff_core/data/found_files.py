"""Which files of a folder are images that can be read, and why each other one is left out."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | {".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
"""What Pillow reads wherever it is installed."""

PLUGGED = frozenset(
    {".apng", ".avif", ".avifs", ".dib", ".heic", ".heics", ".heif", ".heifs", ".hif", ".j2k", ".jp2", ".jpx", ".jxl"}
    | {".mpo", ".pbm", ".pnm", ".qoi", ".tga"}
)
"""What Pillow reads where it was built for it, or where a plugin is installed."""
BOXED = frozenset({".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"})
"""Formats whose files say ``ftyp`` after four bytes; others of these names are none."""
OTHER_IMAGES = frozenset(
    {".svg", ".svgz", ".psd", ".eps", ".ai", ".pdf", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"}
    | {".ico", ".icns", ".exr", ".hdr", ".xcf", ".wmf", ".emf", ".pcx", ".fits", ".dcm", ".npy", ".npz"}
)
"""Formats of pictures that are not read."""

SYSTEM_FILES = frozenset({".DS_Store", ".localized", ".directory", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"})
SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", ".ipynb_checkpoints", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
    | {".git", ".svn", ".Trashes", ".Spotlight-V100", ".fseventsd", ".AppleDouble", "__pycache__"}
)

SYSTEM = "files of an operating system or a tool"
HIDDEN = "hidden (name begins with a dot)"
GONE = "links to what is not there"
NESTED = "images in sub-folders of a class (dataset.nested=true takes them)"
LOOSE = "images beside the folders of classes"
SPECIAL = "neither files nor folders"


@dataclass
class Found:
    """The images of a folder by name, those of its sub-folders apart, and the other files by why they are none."""

    images: list[Path] = field(default_factory=list)
    nested: list[Path] = field(default_factory=list)
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))


@cache
def plugged() -> frozenset[str]:
    """Return the endings beyond ``IMAGE_SUFFIXES`` that Pillow reads here, with the plugins that are installed."""
    from PIL import Image

    for plugin, register in (("pillow_heif", "register_heif_opener"), ("pillow_avif", ""), ("pillow_jxl", "")):
        try:
            module = __import__(plugin)
        except ImportError:
            continue
        if register:
            getattr(module, register)()
    Image.init()
    return frozenset(end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN) & PLUGGED


def is_system(name: str) -> bool:
    """Return whether a file or folder of that name is one that systems and tools leave behind."""
    return name.startswith("._") or name in SYSTEM_FILES or name in SYSTEM_FOLDERS


def find_images(folder: Path) -> Found:
    """Look through a folder of one class and the folders below it; links are followed, each folder once."""
    found = Found()
    for path in _files(folder, {os.path.realpath(folder)}, found):
        reason = why_none(path)
        if reason:
            found.others[reason].append(path)
        else:
            (found.images if path.parent == folder else found.nested).append(path)
    found.images.sort(key=lambda path: path.name)
    found.nested.sort()
    for paths in found.others.values():
        paths.sort()
    return found


def why_none(path: Path) -> str:
    """Return why a visible file is no image that can be read here; empty if it is one, by its name."""
    ending = path.suffix.lower()
    if ending in IMAGE_SUFFIXES:
        return ""
    if ending in plugged():
        return f"not what their name says ({ending})" if ending in BOXED and not _boxed(path) else ""
    if ending in PLUGGED or ending in OTHER_IMAGES:
        return f"a format that is not read here ({ending})"
    return f"no images by their name ({ending or 'no ending'})"


def _boxed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12)[4:8] == b"ftyp"
    except OSError:
        return True  # the decoder says what is wrong with it


def _files(folder: Path, seen: set[str], found: Found) -> Iterator[Path]:
    """Yield the visible files below a folder; everything else is counted."""
    inner = []
    with os.scandir(folder) as entries:  # Path.iterdir asks the disk again for each of ImageNet's files
        for entry in entries:
            path = folder / entry.name
            if is_system(entry.name):
                found.others[SYSTEM].append(path)
            elif entry.name.startswith("."):
                found.others[HIDDEN].append(path)
            elif entry.is_file():
                yield path
            elif entry.is_dir():
                inner.append(path)
            else:
                found.others[GONE if entry.is_symlink() else SPECIAL].append(path)
    for path in inner:
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield from _files(path, seen, found)
