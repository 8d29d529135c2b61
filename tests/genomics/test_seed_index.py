"""The index of a larger reference is made once: what is kept is used, what is damaged is made again."""

import random
from pathlib import Path

import pytest

from genescale.genomics import seed_index
from genescale.genomics.bundle import Bundle
from genescale.genomics.references import References
from genescale.genomics.seed_index import SEEDS, Seeds, seeds_of
from support.tiny_bundle import tiny_bundle


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> References:
    """A data directory's references with one bundle in it, which is large enough for its index to be kept."""
    monkeypatch.setattr(seed_index, "KEPT_BASES", 1_000)
    bases = "".join(random.Random(1).choices("ACGT", k=5_000))
    tiny_bundle(tmp_path / "references", {"chr1": bases}, name="small")
    return References(tmp_path / "references", embedded=tmp_path / "none")


def same(one: Seeds, other: Seeds) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def kept(home: References) -> list[Path]:
    return sorted((home.folder / ".seeds").glob("*"))


def never(bundle: Bundle) -> Seeds:
    raise AssertionError("the index was made again")


def test_the_second_run_maps_what_the_first_made(home: References, monkeypatch: pytest.MonkeyPatch):
    with home.open("small") as bundle:
        made = seed_index.make_seeds(bundle)
        assert same(seeds_of(bundle), made)
        assert kept(home) == [home.folder / ".seeds" / bundle.digest]
    monkeypatch.setattr(seed_index, "make_seeds", never)
    with home.open("small") as bundle:
        assert same(seeds_of(bundle), made)
    assert home.names() == ["small"]


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.parametrize("left", [0, 0.5, None])
def test_a_damaged_index_is_made_again(home: References, name: str, left: float | None):
    with home.open("small") as bundle:
        made = seeds_of(bundle)
        file = kept(home)[0] / f"{name}.npy"
        octets = file.read_bytes()
        file.unlink()
        if left is not None:
            file.write_bytes(octets[: int(left * len(octets))])
        assert same(seeds_of(bundle), made)
        assert file.read_bytes() == octets


def test_where_nothing_can_be_written_the_index_stays_in_memory(home: References):
    (home.folder / ".seeds").write_text("in the way")
    with home.open("small") as bundle:
        assert same(seeds_of(bundle), seed_index.make_seeds(bundle))
    assert (home.folder / ".seeds").read_text() == "in the way"


def test_the_oldest_of_too_many_goes(home: References):
    for old in ("first", "second", "third"):
        (home.folder / ".seeds" / old).mkdir(parents=True)
    with home.open("small") as bundle:
        seeds_of(bundle)
        assert {path.name for path in kept(home)} <= {bundle.digest, "first", "second", "third"}
        assert len(kept(home)) == seed_index.MOST_KEPT


def test_a_small_reference_and_a_bundle_of_nobody_keep_nothing(home: References, monkeypatch: pytest.MonkeyPatch):
    with Bundle.open(home.path("small")) as bundle:
        seeds_of(bundle)
    monkeypatch.setattr(seed_index, "KEPT_BASES", 1_000_000)
    with home.open("small") as bundle:
        seeds_of(bundle)
    assert kept(home) == []
