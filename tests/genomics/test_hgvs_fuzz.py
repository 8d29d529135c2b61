"""A million damaged and made-up names: each is read or refused with a typed error, and none takes long."""

import random
import time
from collections.abc import Iterator

import pytest

from genescale.errors import InvalidInput
from genescale.genomics import hgvs
from genescale.genomics.resolve import resolve
from genescale.genomics.spdi import parse_spdi
from support.embedded_bundles import embedded

SEEDS = [
    "NM_007294.3:c.68_69delAG",
    "NM_000059.3(BRCA2):c.(4185+1_4186-1)_(4357+1_4358-1)del",
    "NC_012920.1:m.16565_3del",
    "MT-TL1:n.14A>G",
    "MT:m.3243A>G",
    "MT-ND4:c.1019G>A",
    "MT-ND6:p.Met64Val",
    "NP_000050.2:p.(Ser1982ArgfsTer22)",
    "MT-ND1:p.*319Qext*17",
    "NM_1.1:c.[76A>C;83G>C];[9_10insGG]",
    "MT-ND5:c.849_850ins[850_900inv;MT:g.100_120;AGG]",
    "MT:m.303CCC[9]",
    "MT-CO1:r.5_6insacgu",
    "BRCA2:NM_000059:exon11:c.5946delT:p.S1982fs",
    "MT-3243-A-G",
    "chrM:3242:A:G",
    "MT\t3243\trs199474657\tA\tG",
    "ga4gh:VA.0AePZIWZUNsUlQTamyLrjm2HWUw2opLt",
    "rs199474657",
]
PIECES = list("ACGTUNacgu019_+-*?()[];:.,=>/")
PIECES += [
    "del",
    "dup",
    "ins",
    "inv",
    "con",
    "copy",
    "fs",
    "ext",
    "Ter",
    "X",
    "p.",
    "c.",
    "m.",
    "g.",
    "n.",
    "r.",
    "3107",
]
PIECES += [
    "MT",
    "MT-ND1",
    "NM_",
    "IVS2",
    "EX3",
    "Ala",
    "rs",
    "ga4gh:",
    " ",
    "\t",
    "é",
    "→",
    "\x00",
    "٣",
    "²",
    "99999999999",
    "(;)",
]


def damaged(draw: random.Random, count: int) -> Iterator[str]:
    """Known names with pieces put in, taken out, doubled or exchanged; and now and then pieces alone."""
    for _ in range(count):
        text = draw.choice(SEEDS) if draw.random() < 0.9 else ""
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(text) + 1)
            end = min(len(text), at + draw.randrange(4))
            way = draw.randrange(4)
            middle = (draw.choice(PIECES), "", text[at:end] * 2, draw.choice(SEEDS)[: draw.randrange(30)])[way]
            text = text[:at] + middle + text[end if way else at :]
        yield text


def read_all(count: int, seed: int) -> int:
    """How many of `count` texts could be read by some parser."""
    read = 0
    for text in damaged(random.Random(seed), count):
        for parse in (hgvs.parse, hgvs.parse_lab_name, parse_spdi):
            try:
                parse(text)
                read += 1
            except InvalidInput:
                continue
    return read


def resolve_all(count: int, seed: int) -> int:
    """How many of `count` texts mean something on the mitochondrial genome."""
    bundle = embedded("mitochondrion")
    meant = 0
    for text in damaged(random.Random(seed), count):
        try:
            resolve(bundle, text)
            meant += 1
        except InvalidInput:
            continue
    return meant


def test_damaged_names_are_read_or_refused() -> None:
    assert read_all(5_000, seed=1) > 500
    assert resolve_all(800, seed=1) > 20


@pytest.mark.slow
def test_a_million_damaged_names_are_read_or_refused() -> None:
    begin = time.process_time()
    assert read_all(1_000_000, seed=2) > 100_000
    assert resolve_all(60_000, seed=2) > 2_000
    assert time.process_time() - begin < 600
