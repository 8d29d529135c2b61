"""The published grammar cases (`hgvs/grammar_test.tsv` of biocommons/hgvs), each read or refused as the table says."""

import csv
from collections.abc import Callable, Iterator

import pytest

from genescale.genomics import hgvs, hgvs_parser, hgvs_parts
from genescale.genomics.hgvs_parser import HgvsSyntaxError, Parser
from genescale.genomics.hgvs_parts import HgvsVariant
from support.shared_data import shared_data

Rule = Callable[[Parser], object]


def only(type_: str, rule: Rule) -> Rule:
    """`rule`, and the result is of `type_`."""

    def checked(parser: Parser) -> object:
        found = rule(parser)
        if getattr(found, "type", None) != type_:
            raise parser.fail(f"{type_}. expected", at=0)
        return found

    return checked


def edit(kind: str, *types: type) -> Rule:
    """An edit in the alphabet of `kind`, of one of `types` if any are given."""

    def checked(parser: Parser) -> object:
        found = parser.p_edit() if kind == "p" else parser.edit(kind)
        if types and not isinstance(found, types):
            raise parser.fail("another edit expected", at=0)
        return found

    return checked


def bracketed(rule: Rule) -> Rule:
    """`rule`, perhaps in round brackets, as in `(A>C)`."""

    def read(parser: Parser) -> object:
        if not parser._next("("):
            return rule(parser)
        found = rule(parser)
        parser._expect(")", "at the end")
        return found

    return read


def letters(alphabet: str) -> Rule:
    """One character of `alphabet`."""

    def read(parser: Parser) -> object:
        if parser.text[parser.at : parser.at + 1] not in set(alphabet):
            raise parser.fail("another letter expected")
        parser.at += 1
        return parser.text[parser.at - 1]

    return read


def residue(*, one: bool = True, three: bool = True, stop: bool = True) -> Rule:
    def read(parser: Parser) -> object:
        found = parser.residue()
        unwanted_stop = found == "*" and not stop and parser.text != "X"
        if unwanted_stop or (parser.at == 3 and not three) or (parser.at == 1 and not one):
            raise parser.fail("another residue expected", at=0)
        return found

    return read


def residues(*, one: bool = True, three: bool = True, stop: bool = True) -> Rule:
    def read(parser: Parser) -> object:
        found = parser.residues()
        long = parser.text[:3] in hgvs_parts.ONE_OF_THREE
        if (long and not three) or (not long and not one) or ("*" in found and not stop):
            raise parser.fail("other residues expected", at=0)
        return found

    return read


def typed(kind: str) -> Rule:
    def read(parser: Parser) -> object:
        found = parser.described("", "")
        assert isinstance(found, HgvsVariant)
        if found.type != kind:
            raise parser.fail("another type expected", at=0)
        return found

    return read


def place(kind: str) -> Rule:
    return only(kind, Parser.place)


def stop_letters(*words: str) -> Rule:
    def read(parser: Parser) -> object:
        for word in words:
            if parser._next(word):
                return word
        raise parser.fail("a stop expected")

    return read


def stop_then_number(parser: Parser) -> object:
    if not parser._stop():
        raise parser.fail("a stop expected")
    return parser.stop_number()


def offset(parser: Parser) -> object:
    return parser.snum() if parser.text else 0


def extent(parser: Parser) -> object:
    found = parser.extent()
    if not found.residue and found.length is None:
        raise parser.fail("a residue or a number expected")
    return found


U, D, DI, DU = (
    hgvs_parts.Substitution,
    hgvs_parts.Deletion,
    (hgvs_parts.DeletionInsertion, hgvs_parts.Substitution),
    hgvs_parts.Duplication,
)
PROTEIN_SUBSTITUTION = edit("p", hgvs_parts.ProteinSubstitution, hgvs_parts.ProteinUnknown)
DNA_LETTERS, RNA_LETTERS = "ACGTNacgtn", "ACGUNacgun"

RULES: dict[str, Rule] = {
    "accn": Parser.accession,
    "aa1": residue(three=False, stop=False),
    "aa3": residue(one=False, stop=False),
    "aa13": residue(stop=False),
    "aat1": residue(three=False),
    "aat3": residue(one=False),
    "aat13": residue(),
    "aa1_seq": residues(three=False, stop=False),
    "aa3_seq": residues(one=False, stop=False),
    "aa13_seq": residues(stop=False),
    "aat1_seq": residues(three=False),
    "aat3_seq": residues(one=False),
    "aat13_seq": residues(),
    "aa13_ext": extent,
    "aa13_fs": stop_then_number,
    "fsext_offset": Parser.stop_number,
    "ext": Parser.extension,
    "fs": Parser.frameshift,
    "base": Parser.snum,
    "num": Parser.num,
    "nnum": Parser.nnum,
    "snum": Parser.snum,
    "offset": offset,
    "pm": letters("+-"),
    "term1": letters("X*"),
    "term3": stop_letters("Ter"),
    "term13": stop_letters("Ter", "X", "*"),
    "dna": letters(DNA_LETTERS),
    "dna_iupac": letters(hgvs_parser._DNA.pattern[1:-2]),
    "rna": letters(RNA_LETTERS),
    "rna_iupac": letters(hgvs_parser._RNA.pattern[1:-2]),
    "na_iupac": letters(hgvs_parser._RNA.pattern[1:-2]),
    "dna_seq": lambda parser: parser.sequence(rna=False),
    "rna_seq": lambda parser: parser.sequence(rna=True),
    "dna_con": Parser.conversion,
    "rna_con": Parser.conversion,
    "dna_copy": Parser.copy,
    "pro_del": edit("p", hgvs_parts.ProteinDeletion),
    "pro_delins": edit("p", hgvs_parts.ProteinDeletionInsertion),
    "pro_dup": edit("p", hgvs_parts.ProteinDuplication),
    "pro_edit": edit("p"),
    "pro_edit_mu": bracketed(edit("p")),
    "pro_ext": edit("p", hgvs_parts.Extension),
    "pro_fs": edit("p", hgvs_parts.Frameshift),
    "pro_ins": edit("p", hgvs_parts.ProteinInsertion),
    "pro_subst": PROTEIN_SUBSTITUTION,
    "pro_ident": edit("p", hgvs_parts.ProteinIdentity),
    "p_posedit": Parser.p_change,
    "p_posedit_special": Parser.p_special,
    "def_p_pos": Parser.p_pos,
    "p_pos": Parser.p_pos,
    "def_p_interval": Parser.p_interval,
    "p_interval": Parser.p_interval,
    "hgvs_variant": Parser.variant,
    "hgvs_position": Parser.place,
    "gene_symbol": Parser.gene_symbol,
    "paren_gene": Parser.paren_gene,
    "opt_gene_expr": Parser.paren_gene,
}
for kind_ in "gmcnr":
    for prefix in ("", "def_", "uncertain_"):
        RULES[f"{prefix}{kind_}_pos"] = lambda parser, kind=kind_: parser.position(kind)
        RULES[f"{prefix}{kind_}_interval"] = lambda parser, kind=kind_: parser.interval(kind)
    RULES[f"{kind_}_posedit"] = lambda parser, kind=kind_: parser.change(kind)
for kind_ in "gmcnrp":
    RULES[f"{kind_}_typed_posedit"] = typed(kind_)
    RULES[f"{kind_}_variant"] = only(kind_, Parser.variant)
    RULES[f"{kind_}_hgvs_position"] = place(kind_)
for name_, kind_ in (("dna", "c"), ("rna", "r")):
    RULES[f"{name_}_edit"] = edit(kind_)
    RULES[f"{name_}_edit_mu"] = bracketed(edit(kind_))
    RULES[f"{name_}_subst"] = edit(kind_, U)
    RULES[f"{name_}_del"] = edit(kind_, D)
    RULES[f"{name_}_delins"] = edit(kind_, *DI)
    RULES[f"{name_}_dup"] = edit(kind_, DU)
    RULES[f"{name_}_ins"] = edit(kind_, hgvs_parts.Insertion)
    RULES[f"{name_}_inv"] = edit(kind_, hgvs_parts.Inversion)
    RULES[f"{name_}_ident"] = edit(kind_, hgvs_parts.Identity)


def cases() -> Iterator[tuple[str, str, bool, str]]:
    """(rule, text, whether it is valid, what is printed for it or "")."""
    with shared_data("hgvs/grammar_test.tsv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if not row["Func"] or row["Func"].startswith("#"):
                continue
            texts = {"list": row["Test"].split("|"), "string": list(row["Test"])}.get(row["InType"], [row["Test"]])
            expected = (row["Expected"] or "").split("|") if row["InType"] == "list" else [row["Expected"] or ""]
            for number, text in enumerate(texts):
                printed = expected[number] if len(expected) == len(texts) else ""
                yield row["Func"], text, row["Valid"].lower() == "true", printed


def read(rule: str, text: str) -> object:
    parser = Parser(text)
    return parser.whole(lambda: RULES[rule](parser))


def printed_form(found: object) -> str:
    if isinstance(found, str):
        return found
    text = getattr(found, "text", None)
    return text(stated=False) if text else str(found)


def same_print(rule: str, found: object, expected: str) -> bool:
    """Whether our print is the table's: letters of RNA and of bare alphabets apart, which HGVS writes in lower case.

    The table's library prints the short form `fs` as `fsTer`, and tuples for the parts of an extension: those are
    compared by meaning.
    """
    if rule in {"aa13_ext", "ext"}:
        assert isinstance(found, hgvs_parts.Extension)
        three = hgvs_parts.THREE_OF_ONE.get(found.residue)
        return eval(expected.replace("u'*'", "'Ter'").replace("u'X'", "'Ter'")) == (three, found.length)
    if rule in ("fs", "aa13_fs"):
        return str(getattr(found, "stop", found)) == expected
    if expected.endswith("fsTer"):
        return found == read(rule, expected)
    if expected == "None":
        return printed_form(found) in ("?", "None")
    return printed_form(found).lower().removeprefix(":") == expected.lower()


def test_every_published_case_is_read_or_refused_as_the_table_says() -> None:
    wrong: list[str] = []
    count = 0
    for rule, text, valid, expected in cases():
        count += 1
        try:
            found = read(rule, text)
        except HgvsSyntaxError as error:
            if valid or not 0 <= error.position <= len(text):
                wrong.append(f"{rule} {text!r} refused: {error}")
            continue
        if not valid:
            wrong.append(f"{rule} {text!r} read as {found!r}")
        elif expected and not same_print(rule, found, expected):
            wrong.append(f"{rule} {text!r} printed as {printed_form(found)!r}, not {expected!r}")
    assert not wrong, "\n".join(wrong)
    assert count > 500


@pytest.mark.parametrize("rule", ["c_variant", "g_variant", "n_variant", "p_variant", "m_variant", "r_variant"])
def test_whole_names_of_the_table_pass_the_usual_door(rule: str) -> None:
    for name, text, valid, _expected in cases():
        if name == rule and valid:
            assert hgvs.parse(hgvs.format_hgvs(hgvs.parse(text))) == hgvs.parse(text)
