"""`genescale annotate` as a person runs it: files in and out, exit statuses, and what is said on standard error."""

import gzip
import inspect
import json
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from genescale.cli import annotate as command
from genescale.cli import annotate_fields, annotate_words
from genescale.cli.main import main
from genescale.genomics.annotate import BLOCK
from genescale.genomics.bgzf import END_MARK
from support.gene_bundle import gene_bundle, sequence
from support.require import require

CHR1 = sequence()
HEAD = "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=20000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(gene_bundle(tmp_path_factory.mktemp("bundle")))


def snv(pos: int, name: str = ".") -> str:
    return f"chr1\t{pos}\t{name}\t{CHR1[pos - 1]}\t{OTHER[CHR1[pos - 1]]}\t.\t.\t.\n"


@pytest.fixture
def vcf(tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(HEAD + "".join(snv(pos) for pos in range(5000, 13_000, 7)))
    return path


def annotate(*words: object) -> int:
    return main(["annotate", *(str(word) for word in words)])


def test_a_file_becomes_a_file(vcf: Path, tmp_path: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.vcf"
    assert annotate(vcf, "-o", out, "--reference", reference) == 0
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 1143
    assert all("CSQ=" in line for line in lines)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("1,143 records, 1,143 alleles, ")
    assert "terms: " in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vcf", "out.vcf"]


def test_the_command_that_is_scored(vcf: Path, tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.tsv"
    packed = tmp_path / "in.vcf.gz"
    packed.write_bytes(gzip.compress(vcf.read_bytes()))
    words = ["--vep-strict", "--fields", "id,transcript,consequence,hgvsc,hgvsp"]
    assert annotate(packed, "-o", out, "--reference", reference, *words) == 0
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert rows[0] == ["id", "transcript", "consequence", "hgvsc", "hgvsp"]
    assert {len(row) for row in rows} == {5}
    assert any(row[4].startswith("P1:p.") for row in rows)


def test_any_number_of_processes_writes_the_same_bytes(vcf: Path, tmp_path: Path, reference: str) -> None:
    one, three = tmp_path / "one.vcf", tmp_path / "three.vcf"
    told = [tmp_path / "1.json", tmp_path / "3.json"]
    vcf.write_text(vcf.read_text() + "chr1\tbad\t.\tA\tC\t.\t.\t.\n" + snv(100))
    assert annotate(vcf, "-o", one, "--reference", reference, "--summary", told[0]) == 0
    assert (
        annotate(vcf, "-o", three, "--reference", reference, "--processes", 3, "--buffer", 2, "--summary", told[1]) == 0
    )
    assert one.read_bytes() == three.read_bytes()
    assert json.loads(told[0].read_text()) == json.loads(told[1].read_text())


def test_standard_input_and_output(vcf: Path, reference: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "genescale", "annotate", "-", "--reference", reference, "-q"],
        input=vcf.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert run.stdout.count(b"CSQ=") == 1143
    assert run.stderr == b""


def test_a_reader_that_has_enough_is_no_failure(vcf: Path, reference: str) -> None:
    vcf.write_text(vcf.read_text() + "".join(snv(6000 + i % 2000) for i in range(20_000)))
    words = f"{sys.executable} -m genescale annotate {vcf} --reference {reference} -q | head -1"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, check=False)
    assert run.stdout == b"##fileformat=VCFv4.2\n"
    assert run.stderr == b""


def test_compressed_output_is_bgzf_with_an_index(vcf: Path, tmp_path: Path, reference: str) -> None:
    plain, packed = tmp_path / "out.vcf", tmp_path / "out.vcf.gz"
    assert annotate(vcf, "-o", plain, "--reference", reference, "-q") == 0
    assert annotate(vcf, "-o", packed, "--reference", reference, "-q", "--index") == 0
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes().endswith(END_MARK)
    tabix = shutil.which("tabix")
    require("tabix", tabix, "apt-get install tabix")
    found = subprocess.run([str(tabix), packed, "chr1:7000-7100"], capture_output=True, text=True, check=True).stdout
    wanted = [
        line for line in plain.read_text().splitlines() if line[0] != "#" and 7000 <= int(line.split("\t")[1]) <= 7100
    ]
    assert found.splitlines() == wanted
    assert wanted


def test_parquet_has_types(vcf: Path, tmp_path: Path, reference: str) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - 0.3 s that no other test needs

    out = tmp_path / "out.parquet"
    assert annotate(vcf, "-o", out, "--reference", reference, "--fields", "id,pos,symbol,distance", "-q") == 0
    table = parquet.read_table(out)
    assert [str(kind) for kind in table.schema.types] == ["string", "int32", "string", "int32"]
    assert table.column("pos").to_pylist()[0] == 5000
    assert None in table.column("distance").to_pylist()


def test_parquet_without_its_package_says_how_to_get_it(
    vcf: Path, tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert annotate(vcf, "-o", tmp_path / "out.parquet", "--reference", reference) == 2
    assert "pip install 'genescale[parquet]'" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vcf"]


def test_names_of_variants_are_an_input_too(tmp_path: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    ref = CHR1[6109]
    names.write_text(f"chr1:g.6110{ref}>{OTHER[ref]}\nnonsense\nchr1-6111-{CHR1[6110]}-{OTHER[CHR1[6110]]}\n")
    out = tmp_path / "out.tsv"
    assert annotate(names, "-o", out, "--reference", reference, "--fields", "id,pos,symbol", "--pick") == 0
    assert [row.split("\t")[1] for row in out.read_text().splitlines()] == ["pos", "6110", "6111"]
    assert "line 2: nonsense" in capsys.readouterr().err
    assert annotate(names, "-o", out, "--reference", reference, "--strict-input", "-q") == 1


def test_raw_dna_is_an_input_too(tmp_path: Path, reference: str) -> None:
    read = CHR1[6000:6100] + OTHER[CHR1[6100]] + CHR1[6101:6300]
    fasta, out = tmp_path / "reads.fa", tmp_path / "out.tsv"
    fasta.write_text(f">read1\n{read}\n")
    assert annotate(fasta, "-o", out, "--reference", reference, "--fields", "id,pos,ref,alt", "--pick", "-q") == 0
    assert out.read_text().splitlines()[1] == f"read1\t6101\t{CHR1[6100]}\t{OTHER[CHR1[6100]]}"


def test_exit_statuses(vcf: Path, tmp_path: Path, reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.vcf"
    faulty = tmp_path / "faulty.vcf"
    faulty.write_text(HEAD + snv(6000) + "chr1\tbad\t.\tA\tC\t.\t.\t.\n")
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(gzip.compress(vcf.read_bytes())[:-200])
    garbage = tmp_path / "garbage.vcf"
    garbage.write_bytes(b"no\tvcf\n\xff\x00\n")
    foreign = tmp_path / "foreign.vcf"
    foreign.write_text("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchrZ\t1\t.\tA\tC\t.\t.\t.\n")
    cases: list[tuple[int, list[object], str]] = [
        (0, [faulty], "line 5: POS 'bad' is not a whole number"),
        (1, [faulty, "--strict-input"], "line 5"),
        (1, [faulty, "--on-error", "stop"], "genescale annotate: line 5: POS 'bad'"),
        (1, [cut], "stop in the middle"),
        (0, [garbage], "not annotated: few_columns 2"),
        (2, [foreign], "no contig of the input is one of the reference"),
        (2, [tmp_path / "absent.vcf"], "cannot read"),
        (2, [vcf, "--fields", "colour"], "there is no field 'colour'"),
        (2, [vcf, "--filter", "impact>"], "filter, character 8: expected an impact"),
        (2, [vcf, "--pick", "--per-gene"], "choose one of"),
        (2, [vcf, "--on-error", "ignore"], ""),
        (2, [vcf, "--processes", "0"], "--processes must lie between"),
        (2, [vcf, "--index"], "--index needs"),
        (2, [vcf, "--colour"], "--colour"),
    ]
    for status, words, said in cases:
        capsys.readouterr()
        assert annotate(*words, "-o", out, "--reference", reference) == status, words
        assert said in capsys.readouterr().err, words
    assert annotate(vcf, "-o", tmp_path / "out.bcf", "--reference", reference) == 2
    assert "bcftools view -Ob" in capsys.readouterr().err
    assert annotate(vcf, "-o", tmp_path / "no" / "out.vcf", "--reference", reference) == 2


def test_what_was_read_before_the_cut_is_written(vcf: Path, tmp_path: Path, reference: str) -> None:
    cut, out = tmp_path / "cut.vcf.gz", tmp_path / "out.vcf"
    packed = gzip.compress(vcf.read_bytes())
    cut.write_bytes(packed[: len(packed) * 3 // 4])
    assert annotate(cut, "-o", out, "--reference", reference, "-q") == 1
    lines = out.read_text().splitlines()
    assert 100 < len(lines) < 1143
    assert all("CSQ=" in line for line in lines[6:])


def test_a_failed_run_leaves_no_file(tmp_path: Path, reference: str) -> None:
    foreign = tmp_path / "foreign.vcf"
    foreign.write_text("chrZ\t1\t.\tA\tC\t.\t.\t.\n")
    assert annotate(foreign, "-o", tmp_path / "out.vcf", "--reference", reference, "-q") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign.vcf"]


def test_both_lanes_of_the_command_line_agree() -> None:
    """The quick reader of a plain command line knows the parameters of the command, and no others."""
    signature = inspect.signature(command.annotate).parameters
    assert {parameter for parameter, _ in annotate_words.WORDS.values()} == set(signature) - {"source"}
    wanted = {"flag": bool, "whole": int, "text": str, "path": Path}
    hints = typing.get_type_hints(command.annotate)
    for name, (parameter, reading) in annotate_words.WORDS.items():
        hint = hints[parameter]
        kinds = {type(one) if not isinstance(one, type) else one for one in typing.get_args(hint) or (hint,)}
        assert wanted[reading] in kinds or any(isinstance(one, str) for one in _literals(hint)), name
    defaults = inspect.signature(annotate_words.request_of).parameters
    for name, parameter in signature.items():
        if name not in {"source", "data"}:
            assert defaults[name].default == parameter.default, name


def _literals(hint: object) -> list[object]:
    return [one for part in (hint, *typing.get_args(hint)) for one in typing.get_args(part)]


@pytest.mark.parametrize(
    "words", [["in.vcf", "--help"], ["in.vcf", "--nonsense"], ["-o"], [], ["a", "b"], ["in.vcf", "--processes", "x"]]
)
def test_the_quick_lane_leaves_the_unusual_to_the_library(words: list[str]) -> None:
    assert annotate_words.quick(words) is None


def test_one_line_is_answered_without_the_library(vcf: Path, reference: str) -> None:
    """What the first answer has to wait for: no argument parser, no terminal library, no settings."""
    code = (
        "import sys; from genescale.cli.main import main;"
        f"words = [{str(vcf)!r}, '-o', '/dev/null', '--to', 'vcf', '--reference', {reference!r}, '-q'];"
        "status = main(['annotate', *words]);"
        "unwanted = {'cyclopts', 'rich', 'asyncio', 'msgspec', 'edlib', 'multiprocessing'};"
        "heavy = unwanted & set(sys.modules);"
        "sys.exit(status or str(heavy) if heavy else status)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(tmp_path: Path, reference: str) -> None:
    path = tmp_path / "large.vcf"
    with path.open("w") as file:
        file.write(HEAD)
        for _ in range(40):
            file.writelines(snv(5000 + i % 9000) for i in range(20_000))
    assert path.stat().st_size > 30 * BLOCK
    words = ["annotate", str(path), "-o", "/dev/null", "--to", "vcf", "--reference", reference, "-q"]
    pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "genescale", *words], os.environ)
    _, status, used = os.wait4(pid, 0)
    assert status == 0
    assert used.ru_maxrss < 200 * 1024  # KiB


def test_the_page_of_fields_is_true() -> None:
    shown = Path(__file__).resolve().parents[2] / "docs" / "reference" / "annotate-fields.md"
    assert shown.read_text() == annotate_fields.page(), "python -m genescale.cli.annotate_fields > docs/reference/..."
