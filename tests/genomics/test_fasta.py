"""FASTA in, packed bases out: every way of writing it, regions, and what is refused."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import fasta
from genescale.genomics.bundle import unpack
from genescale.genomics.fasta import pack_fasta, segments_of


def packed(folder: Path, text: bytes, name: str = "genome.fa") -> dict[str, str]:
    """Each record of a FASTA file, packed and read back."""
    (folder / name).write_bytes(text)
    records = pack_fasta(folder / name, folder / "packed")
    held = np.fromfile(folder / "packed", np.uint8)
    return {record.name: unpack(held, record.base, record.length).decode() for record in records}


def known(folder: Path, text: str) -> list[tuple[str, int, int, str]]:
    """The segments of a FASTA file: contig, start (0-based), end, bases."""
    (folder / "genome.fa").write_text(text)
    records = pack_fasta(folder / "genome.fa", folder / "packed")
    names, segments, file = segments_of(records, folder / "packed", folder / "merged")
    held = np.fromfile(file, np.uint8)
    return [(names[s.contig], s.start, s.end, unpack(held, s.base, s.end - s.start).decode()) for s in segments]


@pytest.mark.parametrize(
    "text",
    [
        b">a one two\nACGTN\nacg\n>b\nRYK\n",
        b">a one two\r\nACGTN\r\nacg\r\n>b\r\nRYK",
        b"\xef\xbb\xbf>a\nACGTNacg\n\n>b\nR\nY\nK\n\n\n",
        b"\n>a\nACG\nTNACG\n>b x\nRYK\n",
        gzip.compress(b">a\nACGTN\nacg\n>b\nRYK\n"),
        gzip.compress(b">a\nACGTN\n") + gzip.compress(b"acg\n>b\nRYK\n"),  # bgzip is many of these
    ],
    ids=["plain", "crlf", "mark and blank lines", "first line empty", "gzip", "bgzip"],
)
def test_ways_of_writing_it(tmp_path: Path, text: bytes) -> None:
    assert packed(tmp_path, text) == {"a": "ACGTNACG", "b": "RYK"}


def test_every_letter_comes_back(tmp_path: Path) -> None:
    assert packed(tmp_path, b">a\nACGTRYSWKMBDHVNU\n")["a"] == "ACGTRYSWKMBDHVNT"


@given(
    st.lists(st.text("ACGTNacgtnRY", max_size=40), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(1, 64),
    st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_and_lines_may_end_anywhere(
    tmp_path_factory: pytest.TempPathFactory, bases: list[str], line: int, block: int, end: str
) -> None:
    rows: list[str] = []
    for number, text in enumerate(bases):
        rows += [f">s{number} about it", *(text[i : i + line] for i in range(0, len(text), line))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "_BLOCK", block)
        found = packed(tmp_path_factory.mktemp("fasta"), end.join(rows).encode())
    assert found == {f"s{number}": text.upper() for number, text in enumerate(bases)}


def test_digests_are_those_of_the_upper_case_bases(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_bytes(b">a\nAC\nGt\n>b\n\n")
    acgt, empty = pack_fasta(tmp_path / "genome.fa", tmp_path / "packed")
    assert acgt.md5 == hashlib.md5(b"ACGT", usedforsecurity=False).hexdigest()
    assert acgt.refget == "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"  # the vector of the VRS specification
    assert empty.refget == "SQ.z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXc"


def test_records_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "genome.fa").write_text(">a\nAAA\n>b\nnot even DNA!\n>7:5-7\nCCC\n>c\nGGG\n")
    records = pack_fasta(tmp_path / "genome.fa", tmp_path / "packed", without=["b", "7"])
    assert [(record.name, record.base) for record in records] == [("a", 0), ("c", 4)]


# ---- regions ----


def test_regions_keep_the_places_of_the_chromosome_and_overlaps_are_merged(tmp_path: Path) -> None:
    text = ">2:101-105 late\nAACCG\n>1:11-14\nACGT\n>1:13-18 overlaps\nGTTTAA\n>1:19-20 touches\nCC\n"
    text += ">1:30-31\nGG\n>1:12-13\nCG\n"
    assert known(tmp_path, text) == [
        ("2", 100, 105, "AACCG"),
        ("1", 10, 20, "ACGTTTAACC"),
        ("1", 29, 31, "GG"),
    ]


def test_regions_that_disagree_where_they_overlap_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the regions of 1 from line 1 and line 3 overlap and differ"):
        known(tmp_path, ">1:11-14\nACGT\n>1:13-16\nGAAA\n")


def test_a_name_with_a_colon_is_no_region_unless_the_length_fits(tmp_path: Path) -> None:
    assert known(tmp_path, ">HLA:1-9\nACGT\n") == [("HLA:1-9", 0, 4, "ACGT")]
    assert known(tmp_path, ">HLA*01:01:5-8\nACGT\n") == [("HLA*01:01", 4, 8, "ACGT")]


# ---- refusals ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"ACGT\n", "line 1: this is no FASTA file"),
        (b"\n\nchr1\t5\n", "this is no FASTA file"),
        (b">\nACGT\n", "line 1: a header without a name"),
        (b">a\nACGT\n>b\nAC\nG-T\n", r"line 5: '-' is no base of DNA \(sequence b\)"),
        (b">a\nACG*\n", r"line 2: '\*' is no base of DNA"),
        (b">a\nACG T\n", "line 2: byte 0x20 is no base"),
        (b">a\nMKVLE\n", "line 2: 'L' is no base"),
        (gzip.compress(b">a\n" + b"ACGT" * 1000)[:-12], "genome.fa: the compressed file ends in the middle"),
        (gzip.compress(b">a\nACGT")[:12] + b"\x00\xff" * 20, "genome.fa: the compressed file is damaged"),
    ],
)
def test_what_is_refused_names_the_place(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        packed(tmp_path, text)


def test_a_header_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasta, "_BLOCK", 100)
    monkeypatch.setattr(fasta, "_HEADER_MAX", 1000)
    with pytest.raises(InvalidInput, match="a header of more than 1,000 characters"):
        packed(tmp_path, b">a" * 1000)


@pytest.mark.parametrize(("opening", "name"), [(b"BZh9", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"PK\x03\x04", "zip")])
def test_other_compressions_are_named(tmp_path: Path, opening: bytes, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"is compressed with {name}; unpack it"):
        packed(tmp_path, opening + b"\x00" * 50)


def test_a_sequence_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"line 3: the sequence a is there twice \(first on line 1\)"):
        known(tmp_path, ">a\nAC\n>a\nAC\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.fa: cannot be read: No such file"):
        pack_fasta(tmp_path / "nowhere.fa", tmp_path / "packed")
