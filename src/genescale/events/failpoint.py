"""Named places where a fault run may end the process: `hit("before_append")`.

In production nothing is armed and `hit` is one comparison. `trials` arms the names after a fork, or through the
environment variable `GENESCALE_FAILPOINTS` (`mid_handling=3,before_append=1`: kill this process with SIGKILL at the
third passage of the one, or the first of the other). Every name stands in `NAMES`, so that a fault run can say which
ones were never reached.
"""

import os
import signal
from collections.abc import Callable, Mapping

NAMES: tuple[str, ...] = (
    "before_append",  # the writer holds a batch, nothing of it is in the file
    "after_append_before_fsync",  # the records are written, a power cut would still take them
    "after_fsync_before_ack",  # the records are safe, nobody was told
    "mid_handling",  # the loop counted the attempt, the handler has begun or is about to
    "after_result_before_commit",  # the outputs are durable, the position has not moved
)

ENVIRONMENT = "GENESCALE_FAILPOINTS"

_hook: Callable[[str], None] | None = None


def hit(name: str) -> None:
    """The process passes the place `name`. Does nothing unless a fault run armed it."""
    if _hook is not None:
        _hook(name)


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook(name)` at every passage from now on; None disarms. One hook per process."""
    global _hook  # noqa: PLW0603 - one switch per process, so that the disarmed case costs one comparison
    _hook = hook


def killer(passages: Mapping[str, int], last_words: Callable[[str], None] | None = None) -> Callable[[str], None]:
    """A hook that ends this process with SIGKILL at the given passage (1 = the first) of each named place.

    `last_words(name)` is called just before, so that a fault run can tell this death from any other.
    """
    unknown = sorted(set(passages) - set(NAMES))
    if unknown:
        raise ValueError(f"no failpoint is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    left = dict(passages)

    def hook(name: str) -> None:
        if name not in left:
            return
        left[name] -= 1
        if left[name] == 0:
            if last_words is not None:
                last_words(name)
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def parse(text: str) -> dict[str, int]:
    """`mid_handling=3,before_append=1` as a mapping; a name without a number means its first passage."""
    passages: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, count = part.partition("=")
        if count and not (count.isdecimal() and int(count) > 0):
            raise ValueError(f"{ENVIRONMENT}: {part!r} must be NAME=N with N from 1 on")
        passages[name] = int(count or 1)
    return passages


if ENVIRONMENT in os.environ:
    arm(killer(parse(os.environ[ENVIRONMENT])))
