"""idx files, written here byte by byte as the format's description says."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.idx import read_idx
from modeldiff_core.errors import DataError

GOLDEN = bytes.fromhex("00000803000000020000000200000003000102030405fffefd0a141e")
GOLDEN_VALUES = [[[0, 1, 2], [3, 4, 5]], [[255, 254, 253], [10, 20, 30]]]


def test_a_plain_and_a_gzipped_file_hold_the_same_values(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(GOLDEN)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(GOLDEN))
    for name in ("plain", "packed.gz"):
        array = read_idx(tmp_path / name)
        assert array.dtype == np.uint8
        assert array.tolist() == GOLDEN_VALUES


def test_labels_have_one_axis(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"\x00\x00\x08\x01" + struct.pack(">I", 3) + bytes([7, 0, 9]))
    assert read_idx(tmp_path / "labels").tolist() == [7, 0, 9]


@pytest.mark.parametrize("length", [1, 4, 15, 16, len(GOLDEN) - 1])
def test_a_file_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "cut").write_bytes(GOLDEN[:length])
    with pytest.raises(DataError, match=r"cut: (not an idx file|cut short inside its header|28 bytes promised)"):
        read_idx(tmp_path / "cut")


def test_bytes_too_many_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(GOLDEN + b"\x00")
    with pytest.raises(DataError, match="28 bytes promised .*29 found"):
        read_idx(tmp_path / "long")


def test_a_header_whose_size_overflows_is_refused(tmp_path: Path) -> None:
    """4 · 2³⁰ · 2³² = 2⁶⁴ bytes would be 0 in 64-bit arithmetic."""
    header = b"\x00\x00\x08\x03" + struct.pack(">III", 4, 2**30, 2**31)
    for raw in (header, b"\x00\x00\x08\x04" + struct.pack(">IIII", 2**16, 2**16, 2**16, 2**16)):
        (tmp_path / "huge").write_bytes(raw)
        with pytest.raises(DataError, match="bytes promised"):
            read_idx(tmp_path / "huge")


@pytest.mark.parametrize("start", [b"", b"\x89PNG", b"\x00\x00\x0d\x03", b"\x00\x01\x08\x03"])
def test_another_magic_number_is_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "other").write_bytes(start + (GOLDEN[4:] if start else b""))
    with pytest.raises(DataError, match=f"other: not an idx file .*{start.hex() or 'nothing'}"):
        read_idx(tmp_path / "other")


def test_gzip_that_is_cut_damaged_or_no_gzip_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(GOLDEN)
    flipped = bytearray(packed)
    flipped[10] ^= 0xFF
    for raw in (packed[:-6], packed[:12], b"", GOLDEN, bytes(flipped)):
        (tmp_path / "bad.gz").write_bytes(raw)
        with pytest.raises(DataError, match=r"bad\.gz"):
            read_idx(tmp_path / "bad.gz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        read_idx(tmp_path / "absent")
