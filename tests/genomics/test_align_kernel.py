"""The kernel behind raw DNA: compiled and interpreted give the same answers."""

import random
from types import ModuleType

import pytest

from genescale.genomics import align as door
from genescale.genomics import differences, seed_index, seeds
from genescale.genomics.align import Aligner, Answer
from genescale.genomics.bundle import Bundle
from genescale.genomics.dna import Dna, read_dna, reverse_complement
from genescale.genomics.kernels import align as kernel
from support.interpreted_kernels import interpreted_kernels
from support.require import require
from support.tiny_bundle import tiny_bundle


def drawn(seed: int, length: int, letters: str = "ACGT") -> str:
    return "".join(random.Random(seed).choices(letters, k=length))


COPY = drawn(2, 400)
REFERENCE = drawn(1, 1_500) + COPY + "CA" * 20 + drawn(3, 500) + "N" * 30 + COPY[:200] + drawn(4, 600)
CIRCLE = drawn(5, 700)


def queries() -> list[Dna]:
    """Of every kind that the kernel treats in its own way, each on both strands."""
    draw = random.Random(6)
    texts = [
        REFERENCE[100:140],
        REFERENCE[300:315] + drawn(7, 1) + REFERENCE[316:335],
        REFERENCE[200:400] + drawn(8, 30) + REFERENCE[400:600],
        REFERENCE[200:300] + REFERENCE[900:1_000],
        REFERENCE[1_600:1_750],
        REFERENCE[1_850:1_910] + "CACA" + REFERENCE[1_910:2_050],
        REFERENCE[2_300:2_440] + drawn(9, 30) + REFERENCE[2_470:2_600],
        REFERENCE[400:500] + "NNNN" + REFERENCE[504:560] + "RYK" + REFERENCE[563:640],
        drawn(10, 60),
        CIRCLE[-80:] + CIRCLE[:90],
        REFERENCE[:300] + CIRCLE[100:400],
    ]
    for _ in range(5):
        at = draw.randrange(100, 2_000)
        text = list(REFERENCE[at : at + draw.randrange(60, 400)])
        for _ in range(draw.randrange(6)):
            text[draw.randrange(len(text))] = draw.choice(["", "A", "C", "G", "T", "GATT"])
        texts.append("".join(text))
    return read_dna("\n".join(f">{n}\n{text}" for n, text in enumerate(texts)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("kernel"), {"chr1": REFERENCE, "MT": CIRCLE}))


def answers(bundle: Bundle) -> list[Answer]:
    aligner = Aligner(bundle)
    turned = [Dna(f"{dna.name} turned", reverse_complement(dna.codes), dna.lower_case, 0, 1) for dna in queries()]
    return list(aligner.place([*queries(), *turned]))


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the interpreted kernels where the compiled ones are used."""
    modules: list[ModuleType] = interpreted_kernels("normalise", "align")
    monkeypatch.setattr(seeds, "kernel", modules[1])
    monkeypatch.setattr(seed_index, "kernel", modules[1])
    monkeypatch.setattr(door, "kernel", modules[1])
    monkeypatch.setattr(seeds, "normalise", modules[0])
    monkeypatch.setattr(differences, "normalise", modules[0])


def test_compiled_and_interpreted_answers_agree(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    require("the compiled kernel", kernel.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")
    expected = answers(bundle)
    assert {answer.outcome for answer in expected} >= {"placed", "partial", "ambiguous", "not_found"}
    plain(monkeypatch)
    assert answers(bundle) == expected


def test_compiled_and_interpreted_indexes_agree(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    require("the compiled kernel", kernel.COMPILED, "build with Python.h present: docs/explanation/native-kernels.md")
    expected = seed_index.make_seeds(bundle)
    plain(monkeypatch)
    for ours, theirs in zip(seed_index.make_seeds(bundle), expected, strict=True):
        assert ours.tolist() == theirs.tolist()


def test_every_word_of_the_reference_is_in_the_index(bundle: Bundle):
    shape, offset, position, check = seed_index.make_seeds(bundle)
    _, k, stride, bits = shape.tolist()
    assert stride == 1
    words = [REFERENCE[i : i + k] for i in range(len(REFERENCE) - k + 1)]
    round_ = CIRCLE + CIRCLE[: k - 1]
    words += [round_[i : i + k] for i in range(len(CIRCLE))]
    known = [word for word in words if "N" not in word]
    assert position.size == check.size == offset[-1] == len(known)
    assert len(set(position.tolist())) == len(known)
    assert offset.size == (1 << bits) + 1
