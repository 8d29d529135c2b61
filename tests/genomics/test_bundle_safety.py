"""Damage, other versions and interrupted builds of reference bundles; and that the same input gives the same bytes."""

import errno
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genescale.errors import BundleDamaged, DiskFull, InvalidInput, UnknownName, Unsupported
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import LIST_FILE, Bundle, npy_header
from genescale.genomics.bundle_writer import Writer
from genescale.genomics.references import FIRST_DEFAULT, References, verify

FASTA = ">1\n" + "ACGTTGCA" * 50 + "\n"
GFF = (
    "1\tx\tgene\t11\t40\t.\t-\t.\tID=gene:G1;biotype=lncRNA;Name=ONE\n"
    "1\tx\tlnc_RNA\t11\t40\t.\t-\t.\tID=transcript:T1;Parent=gene:G1;biotype=lncRNA\n"
    "1\tx\texon\t11\t40\t.\t-\t.\tParent=transcript:T1\n"
)


def built(folder: Path, name: str = "b", **choices: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "g.fa").write_text(FASTA)
    (folder / "g.gff3").write_text(GFF)
    build_bundle(
        folder / name,
        name=name,
        fasta=folder / "g.fa",
        genes=folder / "g.gff3",
        **choices,  # pyright: ignore[reportArgumentType]
    )
    return folder / name


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = built(tmp_path / "here"), built(tmp_path / "there" / "deeper")
    assert sorted(file.name for file in one.iterdir()) == sorted(file.name for file in two.iterdir())
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


def test_the_digest_is_about_the_content(tmp_path: Path) -> None:
    first = Bundle.open(built(tmp_path)).digest
    (tmp_path / "z.fa.gz").write_bytes(gzip.compress(FASTA.lower().replace("\n", "\r\n").encode()))
    again = build_bundle(tmp_path / "z", name="other", fasta=tmp_path / "z.fa.gz", genes=tmp_path / "g.gff3")
    assert again.digest == first
    (tmp_path / "g.gff3").write_text(GFF.replace("40", "41"))
    other = build_bundle(tmp_path / "y", name="b", fasta=tmp_path / "g.fa", genes=tmp_path / "g.gff3")
    assert other.digest != first


def test_arrays_are_what_numpy_would_read(tmp_path: Path) -> None:
    folder = built(tmp_path)
    with Bundle.open(folder) as bundle:
        for name in bundle.arrays:
            assert np.array_equal(bundle.array(name), np.load(folder / f"{name}.npy")), name
            assert not bundle.array(name).flags.writeable
    assert len(npy_header("<i8", 10**12)) == 128


def test_a_build_that_fails_leaves_nothing_and_harms_nothing(tmp_path: Path) -> None:
    folder = built(tmp_path)
    before = Bundle.open(folder).digest
    (tmp_path / "g.fa").write_text(FASTA + "!\n")
    with pytest.raises(InvalidInput):
        build_bundle(folder, name="b", fasta=tmp_path / "g.fa", genes=tmp_path / "g.gff3", replace=True)
    assert Bundle.open(folder).digest == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "g.fa", "g.gff3"]


def test_a_bundle_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    built(tmp_path)
    with pytest.raises(InvalidInput, match="is there already"):
        built(tmp_path)
    with Bundle.open(tmp_path / "b") as old:
        held = old.array("sequence")
        built(tmp_path, replace=True)
        assert held.size  # what was mapped stays readable


def test_an_open_bundle_answers(tmp_path: Path) -> None:
    with Bundle.open(built(tmp_path, synthetic=True)) as bundle:
        assert bundle.synthetic
        assert bundle.kind == "whole"
        assert bundle.sequence(0, 3, 10) == b"GTTGCAAC"
        assert bundle.sequence(0, 400, 401) is None
        assert bundle.text("gene_symbol", 0) == "ONE"
        with pytest.raises(UnknownName, match="no contig '2'; it has 1"):
            bundle.contig_named("2")
        with pytest.raises(BundleDamaged, match="lists no array 'nothing'"):
            bundle.array("nothing")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Writer, "write", full)
    with pytest.raises(DiskFull, match="no space left for"):
        built(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.fa", "g.gff3"]


# ---- damage ----


def changed(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    listing = json.loads((folder / LIST_FILE).read_text())
    change(listing)
    (folder / LIST_FILE).write_text(json.dumps(listing))


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no reference bundle in .*nowhere"):
        Bundle.open(tmp_path / "nowhere")


@pytest.mark.parametrize(("number", "way_out"), [(0, "build it again"), (99, "install a newer Genescale")])
def test_another_format(tmp_path: Path, number: int, way_out: str) -> None:
    folder = built(tmp_path)
    changed(folder, lambda listing: listing.update(format=number))
    with pytest.raises(Unsupported, match=f"has format {number}, this program reads format 1: {way_out}"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format": "one"}'])
def test_a_list_that_is_none(tmp_path: Path, text: str) -> None:
    folder = built(tmp_path)
    (folder / LIST_FILE).write_text(text)
    with pytest.raises(BundleDamaged, match=r"bundle\.json"):
        Bundle.open(folder)


def test_a_list_without_its_entries(tmp_path: Path) -> None:
    folder = built(tmp_path)
    changed(folder, lambda listing: listing.pop("contigs"))
    with pytest.raises(BundleDamaged, match=r"bundle\.json .*'contigs'"):
        Bundle.open(folder)


def test_a_missing_and_a_short_array_are_named(tmp_path: Path) -> None:
    folder = built(tmp_path)
    (folder / "exon_start.npy").unlink()
    whole = (folder / "sequence.npy").read_bytes()
    (folder / "sequence.npy").write_bytes(whole[:-8])
    with Bundle.open(folder) as bundle:
        with pytest.raises(BundleDamaged, match=r"cannot read .*exon_start\.npy"):
            bundle.array("exon_start")
        with pytest.raises(BundleDamaged, match=r"sequence\.npy has 320 bytes and should hold 200 of \|u1"):
            bundle.array("sequence")


def test_verify_finds_what_differs(tmp_path: Path) -> None:
    folder = built(tmp_path)
    assert not [*verify(folder)]
    octets = bytearray((folder / "mrna.npy").read_bytes())
    octets[-1] ^= 1
    (folder / "mrna.npy").write_bytes(octets)
    (folder / "exon_end.npy").unlink()
    np.save(folder / "stranger.npy", np.zeros(3))
    changed(folder, lambda listing: listing.update(digest="0" * 64))
    found = [*verify(folder)]
    assert len(found) == 4
    for name in (
        "mrna.npy is not the file",
        "exon_end.npy is missing",
        "stranger.npy is not on",
        "bundle.json was changed",
    ):
        assert any(name in sentence for sentence in found), name


# ---- the store ----


@pytest.fixture
def store(tmp_path: Path) -> References:
    embedded = tmp_path / "embedded"
    for name in (FIRST_DEFAULT, "panel"):
        shutil.copytree(built(tmp_path / "work" / name), embedded / name)
    return References(tmp_path / "references", embedded)


def test_the_embedded_ones_are_there_from_the_start(store: References) -> None:
    assert store.names() == [FIRST_DEFAULT, "panel"]
    assert [held.default for held in store.list()] == [True, False]
    with store.open() as bundle:
        assert bundle.path.name == FIRST_DEFAULT


def test_use_is_remembered(store: References, tmp_path: Path) -> None:
    built(store.folder, "own")
    (store.folder / "g.fa").unlink()
    assert store.use("own").default
    again = References(store.folder, store.embedded)
    assert again.default() == "own"
    assert again.path() == tmp_path / "references" / "own"
    assert [held.name for held in again.list()] == [FIRST_DEFAULT, "panel", "own"]
    with pytest.raises(UnknownName, match=r"no reference 'mine'; there are: mitochondrion, panel, own"):
        store.use("mine")
    assert again.default() == "own"


@pytest.mark.parametrize("name", ["", ".", "..", "../b", "a/b", "-x", "x" * 200, "a b", "ü"])
def test_names_that_are_none(store: References, name: str) -> None:
    with pytest.raises(UnknownName):
        store.path(name)
    with pytest.raises(InvalidInput, match="is no name for a reference"):
        store.new_path(name)


def test_names_that_are_taken(store: References) -> None:
    (store.embedded / "panel.compact").touch()
    built(store.folder, "own")
    with pytest.raises(InvalidInput, match="is an embedded reference"):
        store.new_path("panel")
    with pytest.raises(InvalidInput, match="--replace"):
        store.new_path("own")
    assert store.new_path("own", replace=True) == store.folder / "own"


def test_what_a_killed_build_left_is_removed_by_the_next(store: References) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    dead = store.folder / f".big.arriving-{gone.pid}"
    alive = store.folder / f".big.arriving-{os.getpid()}"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
        (folder / "sequence.npy").touch()
    store.new_path("other")
    assert not dead.exists()
    assert alive.exists()


def test_a_damaged_bundle_is_listed_with_its_problem(store: References) -> None:
    folder = built(store.folder, "own")
    (folder / LIST_FILE).write_text("{")
    assert "bundle.json" in store.held("own").problem
    with pytest.raises(BundleDamaged):
        store.use("own")


def test_an_embedded_reference_that_was_not_compiled_says_how(store: References) -> None:
    (store.embedded / "extra.compact").touch()
    with pytest.raises(UnknownName, match="reference build --name extra --embedded"):
        store.path("extra")
