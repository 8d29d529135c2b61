"""Made-up input from a seed: bursts and benchmarks send three numbers instead of letters.

The same numbers give the same input on every machine, and the answer says that it is made up. Sequences are pieces of
the human mitochondrial genome with a change in about 500 bases, so that aligning them is real work; longer ones go
round the circle again.
"""

import random
from typing import Final

from genescale.events.analysis_data import SyntheticSequence
from genescale.genomics import mito
from genescale.genomics.dna import read_dna
from genescale.worker.task import Named, Task

_CHANGE_EVERY: Final = 500
_OTHER: Final = {"A": "CGT", "C": "AGT", "G": "ACT", "T": "ACG"}


def make(task: Task, wanted: SyntheticSequence) -> None:
    """Fill a task with the input that its request asks to be made."""
    dice = random.Random(f"genescale {wanted.seed} {wanted.index} {wanted.size}")  # noqa: S311 - made to be repeated
    task.summary["made_up"] = f"from seed {wanted.seed}, number {wanted.index}"
    if wanted.kind == "variants":
        task.names = [Named(text, f"variant {n}") for n, text in enumerate(variants(dice, wanted.size), 1)]
    else:
        name = f"made-up {wanted.seed}/{wanted.index}"
        task.dna = read_dna(sequence(dice, wanted.size), name=name)


def sequence(dice: random.Random, size: int) -> str:
    """`size` bases from a random place of the circle on, some of them changed."""
    genome = mito.sequence()
    start = _below(dice, len(genome))
    bases = list((genome * (size // len(genome) + 2))[start : start + size])
    for _ in range(size // _CHANGE_EVERY):
        place = _below(dice, size)
        others = _OTHER.get(bases[place])
        if others:
            bases[place] = others[_below(dice, 3)]
    return "".join(bases)


def variants(dice: random.Random, count: int) -> list[str]:
    """Single-base variants of the mitochondrial genome."""
    genome = mito.sequence()
    found: list[str] = []
    while len(found) < count:
        place = _below(dice, len(genome))
        base = genome[place]
        if base in _OTHER:
            found.append(f"m.{place + 1}{base}>{_OTHER[base][_below(dice, 3)]}")
    return found


def _below(dice: random.Random, limit: int) -> int:
    """Bits only: these stay the same from one Python to the next."""
    return dice.getrandbits(32) * limit >> 32
