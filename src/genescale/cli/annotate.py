"""`genescale annotate`, as the command-line library sees it: its help. `annotate_words` makes it a request."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from genescale.cli.annotate_words import run_words

Flag: TypeAlias = Annotated[bool, Parameter(negative=())]


def annotate(
    source: str,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"])] = "-",
    reference: str | None = None,
    to: Literal["vcf", "ann", "tsv", "json", "parquet"] | None = None,
    ann: Flag = False,
    format: Literal["auto", "vcf", "hgvs", "spdi", "id", "dna", "fasta"] = "auto",  # noqa: A002 - the word that a person types
    fields: str = "",
    vep_strict: Flag = False,
    hgvs: bool = True,
    pick: Flag = False,
    pick_allele: Flag = False,
    pick_allele_gene: Flag = False,
    per_gene: Flag = False,
    flag_pick: Flag = False,
    filter: str = "",  # noqa: A002
    shift_3prime: Annotated[bool, Parameter(name="--shift-3prime", negative=())] = False,
    distance: int = 5000,
    circular_flanks: Flag = False,
    phased: Flag = False,
    on_error: Literal["keep", "drop", "stop"] = "keep",
    strict_input: Flag = False,
    index: Flag = False,
    processes: int = 1,
    buffer: int = 256,
    level: int = 4,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative=())] = False,
    summary: Path | None = None,
    data: Annotated[Path | None, Parameter(name="--data")] = None,
) -> int:
    """Say what each variant does to each transcript.

    Reads VCF (plain, gzip, BGZF, BCF) or standard input, writes VCF with CSQ as Ensembl VEP does, or other formats.

    Parameters
    ----------
    source
        The input, `-` for standard input.
    output
        The output, `-` for standard output. Its name tells the format: .vcf, .tsv, .json (one object a line), .parquet;
        .gz behind it writes BGZF.
    reference
        The reference: a name of `genescale reference list`, or the folder of a bundle. Default: the one in use.
    to
        The format of the output, when its name does not tell.
    ann
        Write VCF with ANN, as SnpEff does, instead of CSQ.
    format
        What the input is. Default: found out from its content.
    fields
        What a row says, with commas between: id,transcript,consequence,hgvsc,hgvsp.
    vep_strict
        Answer exactly as Ensembl VEP 115, its known faults included.
    hgvs
        Write HGVS names. Without them it is faster.
    pick
        One row for each variant: the one that VEP would pick.
    pick_allele
        One row for each ALT allele.
    pick_allele_gene
        One row for each ALT allele and gene.
    per_gene
        One row for each variant and gene.
    flag_pick
        Keep all rows, and mark with PICK those that the option above would keep.
    filter
        Keep the rows for which this is true, such as "impact>=MODERATE and canonical".
    shift_3prime
        Judge insertions and deletions at their 3'-most place, as VEP's --shift_3prime 1.
    distance
        How many bases up- and downstream of a transcript are told, at most 6000.
    circular_flanks
        Tell them on circular contigs too. On mitochondrial DNA nearly every gene is next to every other.
    phased
        Say too what phased variants of one chromosome do to a protein together (VCF output, sorted input).
    on_error
        What becomes of a faulty line: keep it as it is, drop it, or stop there.
    strict_input
        Exit with status 1 when any line was faulty.
    index
        Write a tabix index beside a .vcf.gz.
    processes
        How many processes annotate. The output is the same for any number.
    buffer
        KiB of input that are handled at once.
    level
        How hard .gz output is packed, 0 to 9.
    quiet
        No progress and no summary.
    summary
        Write the summary to this file, as JSON.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    """
    given = dict(locals())
    return run_words(given)
