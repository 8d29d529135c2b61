"""The page about the format names every array that a build writes, with its type, and no other."""

import re
from pathlib import Path

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import SEARCHED_POOLS, Bundle

PAGE = Path(__file__).parents[2] / "docs/reference/bundle-format.md"


def documented() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or not cells[0].startswith("`") or cells[2].startswith("only in"):
            continue
        names, kinds = re.findall(r"`(\w+)`", cells[0]), cells[1].split()
        if all(re.fullmatch(r"[iu]\d", kind) for kind in kinds):
            found.update(zip(names, kinds * len(names) if len(kinds) == 1 else kinds, strict=len(kinds) > 1))
        elif cells[1] in ("transcript", "gene"):
            for name in names:
                found.update({f"{name}_text": "u1", f"{name}_offset": "i8"})
                found.update({f"{name}_sorted": "i4"} if name in SEARCHED_POOLS else {})
    return found


def test_every_array_is_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">1\nACGTACGTACGT\n")
    (tmp_path / "g.gff3").write_text(
        "1\tx\tlnc_RNA\t1\t9\t.\t+\t.\tID=t;biotype=lncRNA\n1\tx\texon\t1\t9\t.\t+\t.\tParent=t\n"
    )
    build_bundle(tmp_path / "b", name="b", fasta=tmp_path / "g.fa", genes=tmp_path / "g.gff3")
    with Bundle.open(tmp_path / "b") as bundle:
        written = {name: entry["dtype"].lstrip("<|") for name, entry in bundle.arrays.items()}
        assert documented() == written
        assert all(f"`{key}`" in PAGE.read_text() for key in bundle.listing)
