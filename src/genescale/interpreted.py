"""The few words of Cython that our kernels use, for the case that a kernel runs uncompiled.

A kernel is an ordinary Python file. Where the build could compile it, Cython gives these words their meaning; where it
could not, the kernel imports this module in Cython's place and runs as plain Python, slower but with the same answers.
So Cython is needed to build, never to run. `docs/explanation/native-kernels.md` tells the whole story.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound=type)
V = TypeVar("V")

compiled = False

# Machine integers. Plain integers never wrap around, so a kernel masks its arithmetic: the compiler drops the mask.
uchar = int
uint = int
longlong = int
ulonglong = int
bint = bool
double = float
Py_ssize_t = int


class _Unlocked(nullcontext[None]):
    """`with cython.nogil:` and `@cython.nogil`: other threads may run meanwhile. Plain Python keeps its lock."""

    def __call__(self, function: F) -> F:
        return function


nogil = _Unlocked()


def cfunc(function: F) -> F:
    """A function that only its own kernel calls: compiled, it costs a C call."""
    return function


def inline(function: F) -> F:
    """A hint to the C compiler."""
    return function


def cclass(described: C) -> C:
    """A class whose attributes are machine values: compiled, other kernels reach them without Python."""
    return described


def final(described: C) -> C:
    """A class that nobody inherits from, so that its functions are called directly."""
    return described


def exceptval(*, check: bool) -> Callable[[F], F]:
    """`check=False` promises that the function raises nothing, so that callers need not look."""
    del check
    return cfunc


def declare(kind: object = None, value: V | None = None, *, visibility: str = "private") -> V | None:
    """A typed attribute that Python may read (`visibility="public"`), or a typed constant of the module."""
    del kind, visibility
    return value


def cast(kind: object, value: V) -> V:
    """A C conversion. It is asked for only where the value fits, so there is nothing to do."""
    del kind
    return value
