"""The kernel behind the look-up of facts: the same answers compiled and not, and no answer from a hash alone."""

from array import array
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.genomics.kernels import lookup, normalise
from support.interpreted_kernels import interpreted_kernels
from support.require import require

SEQUENCE = "GATTACACACACACGGGGGGTTNNMACGTACGTACGTACGTACGTACGTTTTTTTTTTTTTTTTTCAGCAGCAGCAGCAGTA"
CODES = {"A": 1, "C": 2, "M": 3, "G": 4, "T": 8, "N": 15}


@pytest.fixture(scope="module")
def plain() -> SimpleNamespace:
    first, second = interpreted_kernels("normalise", "lookup")
    return SimpleNamespace(normalise=first, lookup=second)


@pytest.fixture(params=["installed", "interpreted"])
def either(request: pytest.FixtureRequest, plain: SimpleNamespace) -> Any:
    return SimpleNamespace(normalise=normalise, lookup=lookup) if request.param == "installed" else plain


def numbers(kind: str, values: Any) -> memoryview:
    return memoryview(array(kind, values))


def sequence(kernels: Any) -> Any:
    """One contig: bases 1 to 60 and 71 to 80 of SEQUENCE are known."""
    codes = [CODES[base] for base in SEQUENCE[:60] + SEQUENCE[70:80]]
    packed = bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True))
    starts, ends, bases = numbers("q", [0, 70]), numbers("q", [60, 80]), numbers("q", [0, 60])
    return kernels.normalise.Sequence(memoryview(packed), numbers("i", [0, 2]), starts, ends, bases)


Asked = list[tuple[int, int, str, str, int]]  # contig, start, REF, ALT, flags


def spelled(kernels: Any, asked: Asked, table: Any = None) -> tuple[list[int], list[int], list[int], list[int]]:
    """Keys, forms of the usable rows, statuses, and rows found in `table`."""
    pieces = [piece for _, _, ref, alt, _ in asked for piece in (ref, alt)]
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    text = memoryview("".join(pieces).encode() or b"-")
    contig, start = numbers("i", [one[0] for one in asked]), numbers("i", [one[1] for one in asked])
    ref, alt = numbers("q", ends[0:-1:2]), numbers("q", ends[1:-1:2])
    ref_length, alt_length = (numbers("i", [len(one[k]) for one in asked]) for k in (2, 3))
    flags = numbers("I", [one[4] for one in asked])
    key, form, status = (
        numbers("Q", [7] * len(asked)),
        numbers("i", [0] * 4 * len(asked)),
        numbers("B", [9] * len(asked)),
    )
    speller = kernels.lookup.Speller(sequence(kernels))
    speller.spell(0, len(asked), contig, start, ref, ref_length, alt, alt_length, flags, text, 1, key, form, status)
    row = numbers("q", [-5] * len(asked))
    if table is not None:
        table.find(0, len(asked), contig, key, form, ref, alt, text, row)
    keys, forms = key.tolist(), form.tolist()
    speller.check(0, len(asked), contig, start, ref, ref_length, text, status)
    used = [number for i in range(len(asked)) if keys[i] for number in forms[4 * i : 4 * i + 4]]
    return keys, used, status.tolist(), row.tolist()


ALLELES = st.one_of(
    st.text("ACGT", max_size=4), st.text("ACGTNM-", max_size=20), st.sampled_from(["A", "C", "G", "T", "AC", "CAG"])
)
ASKED = st.lists(
    st.tuples(st.integers(-1, 1), st.integers(0, 90), ALLELES, ALLELES, st.sampled_from([0, 0, 0, 1])),
    min_size=1,
    max_size=30,
)


@st.composite
def true_refs(draw: st.DrawFn) -> Asked:
    """Variants whose REF is the sequence, so that they roll."""
    found: Asked = []
    for _ in range(draw(st.integers(1, 20))):
        start, length = draw(st.integers(1, 80)), draw(st.sampled_from([0, 0, 1, 2, 3, 14, 30]))
        found.append((0, start, SEQUENCE[start - 1 : start - 1 + length], draw(ALLELES), 0))
    return found


def test_compiled_and_interpreted_spellings_agree(plain: SimpleNamespace):
    require("the compiled kernel", lookup.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")
    compiled = SimpleNamespace(normalise=normalise, lookup=lookup)

    @settings(max_examples=150, deadline=None)
    @given(st.one_of(ASKED, true_refs()), st.lists(st.integers(0, 29), min_size=0, max_size=30))
    def agree(asked: Asked, kept: list[int]):
        keys = spelled(compiled, asked)[0]
        stored = sorted({keys[i] for i in kept if i < len(asked) and keys[i]})
        parts = [numbers("q", [0, len(stored)]), numbers("Q", stored or [0])[: len(stored)]]
        parts += [numbers("q", [0])[:0], numbers("q", [0]), memoryview(b"-")]
        answers = [spelled(one, asked, one.lookup.Table(*parts)) for one in (compiled, plain)]
        assert answers[0] == answers[1]
        for key, row in zip(answers[0][0], answers[0][3], strict=True):
            is_short = key and key >> 28 & 15 != 15
            assert row == (stored.index(key) if is_short and key in stored else -1)

    agree()


def test_a_hash_alone_never_answers(either: Any):
    """Three stored alleles are given the hash of a fourth: a collision, of which only the true text may answer."""
    asked: Asked = [(0, 5, "ACACACACACACAC"[:10], "T" * 20, 0)]
    key = spelled(either, asked)[0][0]
    assert key >> 28 & 15 == 15
    texts = [b"ACACACACAC>" + b"T" * 19 + b"G", b"ACACACACA>C" + b"T" * 20, b"ACACACACAC>" + b"T" * 20]
    for stored, wanted in ((texts, 2), (texts[:2], -1), ([], -1)):
        ends = [0]
        for text in stored:
            ends.append(ends[-1] + len(text))
        table = either.lookup.Table(
            numbers("q", [0, 3]),
            numbers("Q", [key] * 3),
            numbers("q", range(len(stored))) if stored else numbers("q", [0])[:0],
            numbers("q", ends),
            memoryview(b"".join(stored) or b"-"),
        )
        assert spelled(either, asked, table)[3] == [wanted]


def test_each_status_has_its_reason(either: Any):
    asked: Asked = [
        (0, 1, "G", "A", 0),
        (5, 1, "GA", "A", 0),
        (0, 65, "AC", "A", 0),
        (0, 59, "TTT", "A", 0),
        (0, 1, "GG", "A", 0),
        (0, 1, "GA", "GA", 0),
        (0, 1, "", "", 0),
        (0, 1, "G", "A", 1),
        (0, 1, "GA", "G-", 0),
        (0, 1, "C", "A", 0),
    ]
    assert spelled(either, asked)[2] == [0, 1, 2, 2, 3, 4, 5, 5, 5, 3]


def test_an_empty_source_knows_nothing(either: Any):
    empty = either.lookup.Table(
        numbers("q", [0, 0]), numbers("Q", [0])[:0], numbers("q", [0])[:0], numbers("q", [0]), memoryview(b"")
    )
    assert spelled(either, [(0, 1, "G", "A", 0)], empty)[3] == [-1]


def test_the_kernel_says_whether_it_is_compiled(plain: SimpleNamespace):
    module: ModuleType = plain.lookup
    assert module.COMPILED is False
