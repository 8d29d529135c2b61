"""Gzip and BGZF: what is read from good, cut and damaged files, and what others read of ours."""

import gzip
import io
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics.bgzf import BLOCK, END_MARK, Truncated, Writer, is_gzip, read_gzip
from genescale.genomics.tabix import bin_of, write_index
from support.require import require

TEXT = b"".join(random.Random(1).randbytes(40) + b" the same words again\n" for _ in range(6000))


def written(*texts: bytes, level: int = 6) -> bytes:
    out = io.BytesIO()
    writer = Writer(out.write, level)
    for text in texts:
        writer.write(text)
    writer.close()
    return out.getvalue()


def read(data: bytes) -> tuple[bytes, Truncated | None]:
    """What came out, and the error at the end."""
    found = bytearray()
    try:
        for piece in read_gzip(io.BytesIO(data)):
            found += piece
    except Truncated as error:
        return bytes(found), error
    return bytes(found), None


@given(st.lists(st.binary(max_size=3 * BLOCK // 2), max_size=4), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read_again(texts: list[bytes], level: int) -> None:
    packed = written(*texts, level=level)
    assert gzip.decompress(packed) == b"".join(texts)
    assert read(packed) == (b"".join(texts), None)
    assert packed.endswith(END_MARK)


def test_text_that_does_not_shrink_still_fits_a_block() -> None:
    noise = random.Random(2).randbytes(BLOCK)
    assert read(written(noise)) == (noise, None)


def test_plain_gzip_of_several_members_is_one_text() -> None:
    assert read(gzip.compress(b"one\n") + gzip.compress(b"") + gzip.compress(b"two\n") + bytes(512)) == (
        b"one\ntwo\n",
        None,
    )
    assert is_gzip(gzip.compress(b""))
    assert not is_gzip(b"##fileformat")


@pytest.mark.parametrize("pack", [gzip.compress, written])
def test_a_file_that_was_cut_gives_what_was_whole(pack) -> None:
    packed = pack(TEXT)
    for part in (0.1, 0.5, 0.9, 0.999):
        found, error = read(packed[: int(len(packed) * part)])
        assert error is not None
        assert error.code == "truncated_input"
        assert TEXT.startswith(found)
    assert len(read(packed[: int(len(packed) * 0.9)])[0]) > len(TEXT) // 2


def test_a_bgzf_file_cut_between_blocks_is_noticed() -> None:
    found, error = read(written(TEXT)[: -len(END_MARK)])
    assert found == TEXT
    assert error is not None
    assert "no end mark" in str(error)


def test_damage_is_named_with_its_place() -> None:
    packed = bytearray(written(TEXT))
    packed[len(packed) // 2 : len(packed) // 2 + 20] = bytes(20)
    found, error = read(bytes(packed))
    assert error is not None
    assert error.code == "damaged_gzip"
    assert "near byte" in str(error)
    assert TEXT.startswith(found)


def test_htslib_takes_our_files(tmp_path: Path) -> None:
    bgzip = shutil.which("bgzip")
    require("bgzip", bgzip, "apt-get install tabix")
    path = tmp_path / "text.gz"
    path.write_bytes(written(TEXT))
    assert subprocess.run([str(bgzip), "-t", path], check=False).returncode == 0
    assert subprocess.run([str(bgzip), "-dc", path], capture_output=True, check=True).stdout == TEXT


@given(st.integers(0, 2**29 - 2), st.integers(1, 10**7))
def test_a_bin_holds_its_record_and_no_smaller_one_does(begin: int, length: int) -> None:
    end = min(begin + length, 2**29)
    number = bin_of(begin, end)
    level = next(i for i, first in enumerate((4681, 585, 73, 9, 1, 0)) if number >= first)
    size = 1 << (14 + 3 * level)
    start = (number - (4681, 585, 73, 9, 1, 0)[level]) * size
    assert start <= begin
    assert end <= start + size
    assert level == 0 or begin // (size // 8) != (end - 1) // (size // 8)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["1\t9\t.\tA", "1\t8\t.\tA"], "unsorted"),
        (["1\t9\t.\tA", "2\t1\t.\tA", "1\t10\t.\tA"], "unsorted"),
        (["1\t600000000\t.\tA"], "too_long_for_index"),
        (["no record"], "bad_line"),
    ],
)
def test_what_cannot_be_indexed_says_so(tmp_path: Path, lines: list[str], code: str) -> None:
    path = tmp_path / "x.vcf.gz"
    path.write_bytes(written("".join(f"{line}\t.\t.\t.\t.\n" for line in lines).encode()))
    with pytest.raises(InvalidInput) as caught:
        write_index(path)
    assert caught.value.code == code
    assert caught.value.place == f"line {len(lines)}"
    assert list(tmp_path.iterdir()) == [path]
