"""A file that declares another assembly is refused before its first line, whatever its positions would hit."""

import pytest

from genescale.errors import InvalidInput
from genescale.genomics.annotate import annotate
from support.embedded_bundles import embedded

LINE = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n%s\t%d\t.\tA\tG\t.\t.\t.\n"


def rows(contig: bytes, header: bytes, bundle: str = "mitochondrion", position: int = 3243) -> int:
    return len(list(annotate(b"##fileformat=VCFv4.2\n" + header + LINE % (contig, position), embedded(bundle))))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"##contig=<ID=chrM>\n",
        b"##contig=<ID=chrM,length=16569>\n",
        b"##contig=<ID=chr1,length=249250621>\n##contig=<ID=chrM,length=16569,assembly=b37>\n",
    ],
)
def test_the_same_assembly_or_nothing_said(header):
    assert rows(b"chrM", header) == 1


def test_the_chrm_of_hg19():
    with pytest.raises(InvalidInput, match="NC_001807") as caught:
        rows(b"chrM", b"##contig=<ID=chr1,length=249250621>\n##contig=<assembly=hg19,ID=chrM,length=16571>\n")
    assert caught.value.code == "assembly_mismatch"


def test_grch37_on_the_panel():
    with pytest.raises(InvalidInput, match=r"chr17 with 81,195,210 bases.*83,257,441"):
        rows(b"chr17", b"##contig=<ID=chr17,length=81195210>\n", "clinical-panel", 43124027)
