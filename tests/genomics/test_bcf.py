"""BCF as text: what bcftools writes comes back as bcftools would print it, and damage never gets past the reader."""

import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from genescale.errors import InvalidInput
from genescale.genomics import bcf
from genescale.genomics.bgzf import Truncated, read_gzip
from support.interpreted_kernels import interpreted_kernels
from support.require import require

RECORDS = """\
chr1\t1501\trs1;rs2\tG\tA\t29\tPASS\tDP=14;AF=0.5;DB;S=abc,def\tGT:GQ:HQ:FT\t0|0:48:51,51.25:PASS\t1|0:48:51,.:q\t1/1:43:5,.:.
chr1\t12208\t.\tC\tG,T,<DEL>\t3.14159\tq10;s50\tDP=70000;AF=0.017,1e-09,3.3e+20;L=1,-5,300000\tGT:GQ\t0/.:.\t./.:.\t2|1|3:70000
chr2\t1\t.\tA\t.\t.\t.\t.\tGT\t.\t1\t0
chr2\t100\t.\tA\tC\t1e+10\tPASS\tAF=0.000123457,.,123457;L=.\tGT:HQ\t0/1:1.5,0.1\t0/1:100000,1e+06\t0/1:.
chr2\t200\tx\tAC\tA\t0.0001\t.\tAF=100000,1e-05,-0.5\t.\t.\t.\t.
"""
HEAD = """\
##fileformat=VCFv4.3
##FILTER=<ID=PASS,Description="All filters passed">
##FILTER=<ID=q10,Description="x">
##FILTER=<ID=s50,Description="x">
##contig=<ID=chr1,length=960000>
##contig=<ID=chr2,length=680000>
##INFO=<ID=DP,Number=1,Type=Integer,Description="x">
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
##INFO=<ID=DB,Number=0,Type=Flag,Description="x">
##INFO=<ID=S,Number=.,Type=String,Description="x">
##INFO=<ID=L,Number=.,Type=Integer,Description="x">
##FORMAT=<ID=GT,Number=1,Type=String,Description="x">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="x">
##FORMAT=<ID=HQ,Number=2,Type=Float,Description="x">
##FORMAT=<ID=FT,Number=1,Type=String,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNA1\tNA2\tNA3
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    bcftools = shutil.which("bcftools")
    require("bcftools", bcftools, "apt-get install bcftools")
    folder = tmp_path_factory.mktemp("bcf")
    (folder / "in.vcf").write_text(HEAD + RECORDS)
    words = [str(bcftools), "view", "--no-version", "-Ob", "-o", str(folder / "in.bcf"), str(folder / "in.vcf")]
    subprocess.run(words, check=True)
    return (folder / "in.bcf").read_bytes()


def unpacked(packed: bytes) -> bytes:
    out, rest = b"", packed
    while rest:
        one = zlib.decompressobj(31)
        out += one.decompress(rest)
        rest = one.unused_data
    return out


@pytest.mark.parametrize("kind", ["installed", "interpreted"])
def test_records_come_back_as_they_were(
    packed: bytes, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if kind == "interpreted":
        (kernel,) = interpreted_kernels("bcf")
        monkeypatch.setattr(bcf, "Decoder", kernel.Decoder)
    path = tmp_path / "in.bcf"
    path.write_bytes(packed)
    with path.open("rb") as file:
        text = b"".join(bcf.as_text(read_gzip(file))).decode()
    assert text[text.index("chr1\t1501") :] == RECORDS
    assert "IDX=" not in text


def test_pieces_of_any_size_give_the_same_text(packed: bytes) -> None:
    data = unpacked(packed)
    whole = b"".join(bcf.as_text(iter([data])))
    for size in (1, 7, 100):
        pieces = (data[at : at + size] for at in range(0, len(data), size))
        assert b"".join(bcf.as_text(pieces)) == whole


def test_a_cut_file_gives_the_records_before_the_cut(packed: bytes) -> None:
    data = unpacked(packed)
    text = bcf.as_text(iter([data[:-3]]))
    found = next(text) + next(text)
    with pytest.raises(Truncated, match="ends within record 5"):
        next(text)
    assert found.endswith(RECORDS.splitlines(keepends=True)[3].encode())


def test_damaged_bytes_are_refused_and_nothing_worse(packed: bytes) -> None:
    data = unpacked(packed)
    (length,) = struct.unpack_from("<I", data, 5)
    rng = random.Random(12)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(9 + length, len(damaged))] = rng.randrange(256)
        try:
            b"".join(bcf.as_text(iter([bytes(damaged)])))
        except InvalidInput as error:
            assert error.code in {"damaged_bcf", "truncated_input"}  # noqa: PT017 - most damage is not even noticed
