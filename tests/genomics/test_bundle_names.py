"""Looking names up in a bundle without an index in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import SEARCHED_POOLS, Bundle

NAMES = ["NM_2.1", "NM_10.1", "NM_1.2", "NM_1.1", "NM_11.1"]


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Bundle]:
    (tmp_path / "g.fa").write_text(">1\n" + "ACGT" * 100 + "\n")
    lines = ["##gff-version 3"]
    for number, name in enumerate(NAMES):
        place = f"{number * 50 + 1}\t{number * 50 + 30}\t.\t+\t."
        lines += [
            f"1\tx\tgene\t{place}\tID=gene:G{number};Name=S{number};biotype=lncRNA;gene_id=G{number}",
            f"1\tx\ttranscript\t{place}\tID=transcript:{name};Parent=gene:G{number};transcript_id={name};biotype=lncRNA",
            f"1\tx\texon\t{place}\tParent=transcript:{name}",
        ]
    (tmp_path / "g.gff3").write_text("\n".join(lines) + "\n")
    build_bundle(tmp_path / "b", name="b", fasta=tmp_path / "g.fa", genes=tmp_path / "g.gff3")
    with Bundle.open(tmp_path / "b") as opened:
        yield opened


@pytest.mark.parametrize("prefix", ["", "N", "NM_1", "NM_1.", "NM_1.2", "NM_2.1", "NM_2.10", "A", "Z"])
def test_find_gives_the_names_with_a_prefix_in_their_order(bundle: Bundle, prefix: str) -> None:
    found = [bundle.text("transcript_name", i) for i in bundle.find("transcript_name", prefix)]
    assert found == sorted(name for name in NAMES if name.startswith(prefix))


def test_every_searched_pool_is_sorted(bundle: Bundle) -> None:
    for pool in SEARCHED_POOLS:
        assert [bundle.text(pool, int(i)) for i in bundle.array(f"{pool}_sorted")] == sorted(bundle.texts(pool))
