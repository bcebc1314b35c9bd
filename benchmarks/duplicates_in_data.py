"""How long it takes to find images that are there more than once, and what memory that takes.

50,000 training and 10,000 test images of CIFAR-10's shape, smooth pictures with noise. Of the training images 1,000 are
exact copies of test images and 1,000 near copies (noise of one level). Claims: within a minute, and no more than 400 MB
beside the images.

    python benchmarks/duplicates_in_data.py
"""

import resource
import time

import numpy as np

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.duplicates import find_copies

TRAIN, TEST, COPIES = 50_000, 10_000, 1_000
MINUTE, MEGABYTES = 60.0, 400.0


def pictures(count: int, rng: np.random.Generator) -> np.ndarray:
    """Squares of 8×8 pixels with noise, which are as unlike as photographs at 8×8 gray pixels."""
    out = np.empty((count, 32, 32, 3), np.uint8)
    for start in range(0, count, 1000):
        small = rng.integers(20, 236, size=(min(1000, count - start), 4, 4, 3))
        noise = rng.integers(-20, 21, size=(len(small), 32, 32, 3))
        out[start : start + 1000] = small.repeat(8, 1).repeat(8, 2) + noise
    return out


def dataset() -> Dataset:
    """Images in memory, with copies at the beginning of the training part."""
    rng = np.random.default_rng(0)
    train, test = pictures(TRAIN, rng), pictures(TEST, rng)
    train[:COPIES] = test[:COPIES]
    near = test[COPIES : 2 * COPIES].astype(int)
    train[COPIES : 2 * COPIES] = near + rng.integers(-1, 2, size=near.shape)
    parts = [Examples(images, np.arange(len(images)) % 10) for images in (train, test)]
    return Dataset(parts[0], parts[1], tuple("0123456789"))


def peak() -> float:
    """Most megabytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print what was found and what it took."""
    data = dataset()
    before, clock, cpu = peak(), time.perf_counter(), time.process_time()
    copies = find_copies(data)
    seconds, of_cpu, more = time.perf_counter() - clock, time.process_time() - cpu, peak() - before
    found = {one.what: one for one in copies.tallies()}
    exact = found["exact copies in training and test alike"].train
    near = found["near copies in training and test alike"].train - exact
    images = (data.train.images.nbytes + data.test.images.nbytes) / 1e6
    print(f"{TRAIN:,} + {TEST:,} images of 32×32×3 ({images:.0f} MB): {seconds:.1f} s, of CPU {of_cpu:.1f} s")
    print(f"memory beside the images: {more:.0f} MB")
    print(f"exact copies found: {exact:,} of {COPIES:,}; near ones: {near:,} of {COPIES:,}")
    print(f"near copies that are none: {found['near copies in training and test alike'].train - exact - near}")
    assert seconds < MINUTE
    assert more < MEGABYTES
    assert exact == COPIES
    assert near > 0.8 * COPIES


if __name__ == "__main__":
    main()
