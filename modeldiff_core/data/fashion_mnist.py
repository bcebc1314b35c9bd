"""Fashion-MNIST from a folder, from Debian's package, or downloaded."""

import os
from dataclasses import dataclass
from pathlib import Path

from modeldiff_core.data.examples import Dataset
from modeldiff_core.data.mnist_idx import idx_files, read_idx_folder
from modeldiff_core.data.plants import Plant, planted
from modeldiff_core.errors import ConfigError, DataError

FASHION_CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FASHION_FILES = {  # MD5 of the published gzip files
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def download_fashion(folder: Path) -> None:
    """Fetch the four published files with checksum and progress bar into `folder`."""
    import pooch

    fetcher = pooch.create(
        path=folder,
        base_url=FASHION_URL,
        registry={name: f"md5:{checksum}" for name, checksum in FASHION_FILES.items()},
    )
    for name in FASHION_FILES:
        try:
            fetcher.fetch(name, progressbar=True)
        except Exception as error:
            raise DataError(
                f"Fashion-MNIST: {name} could not be downloaded ({type(error).__name__}: {error}). Give the folder "
                "that holds its four idx files as dataset.folder, or install Debian's package dataset-fashion-mnist"
            ) from error


def fashion_folder(given: str | None) -> Path:
    """Return the folder with the idx files: the given one, Debian's, or a cache that is filled by download."""
    if given is not None:
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise ConfigError("dataset.folder", "a folder with Fashion-MNIST's idx files", given)
        return folder
    if FASHION_DEBIAN.is_dir():
        return FASHION_DEBIAN
    cache = Path(os.environ.get("MODELDIFF_HOME", "~/.modeldiff")).expanduser() / "fashion-mnist"
    download_fashion(cache)
    return cache


@dataclass(frozen=True)
class FashionMnist:
    """Fashion-MNIST: 60,000 + 10,000 gray images of 28×28 pixels of clothes in ten classes (Xiao et al., 2017).

    folder: where the idx files are; by default Debian's package or a checked download. It is not identity.
    """

    n_train: int = 1000
    n_test: int = 1000
    seed: int = 0
    plant: Plant | None = None
    folder: str | None = None

    def files(self) -> list[Path]:
        """Every file that ``load`` reads."""
        return list(idx_files(fashion_folder(self.folder)))

    def load(self) -> Dataset:
        sizes = (self.n_train, self.n_test)
        return planted(read_idx_folder(fashion_folder(self.folder), FASHION_CLASSES, sizes, self.seed), self.plant)
