"""`genescale bench AREA` and `genescale verify AREA`: run a trial and print its one report.

Exit status: 0 when it ran, 2 when it could not; with `--strict` also 1 when a goal was missed.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated

from cyclopts import Parameter

from genescale.clock import SystemClock
from genescale.errors import GenescaleError
from genescale.trials import report
from genescale.trials.report import CannotRun, Report

# Imported when asked for: a trial may need what a plain installation does not have.
BENCH_AREAS: Mapping[str, str] = {
    "annotate": "genescale.trials.bench_annotate",
    "events": "genescale.trials.bench_events",
    "references": "genescale.trials.bench_references",
}
VERIFY_AREAS: Mapping[str, str] = {"delivery": "genescale.trials.delivery"}

AsJson = Annotated[bool, Parameter(name="--json", negative=())]
Flag = Annotated[bool, Parameter(negative=())]


def bench(area: str, *, seed: int = 1, kafka: Flag = False, json: AsJson = False, strict: Flag = False) -> int:
    """Measure how fast one area is on this machine.

    Parameters
    ----------
    area
        What to measure: annotate, events, references.
    seed
        Where everything random in the load comes from.
    kafka
        Demand the figures on a real three-broker Kafka; without it they are absent where Kafka is not installed.
    json
        Print one JSON object instead of a table.
    strict
        Exit with 1 when a goal is missed (a benchmark that could not run always exits with 2).
    """
    run = _area("bench", BENCH_AREAS, area)
    return _show(lambda: run(seed, kafka, SystemClock()), json, strict) if run else 2


def verify(
    area: str,
    *,
    seed: int = 1,
    events: int | None = None,
    faults: int | None = None,
    seconds: float | None = None,
    kafka: Flag = False,
    json: AsJson = False,
    strict: Flag = False,
) -> int:
    """Try one area under injected faults, and check its history afterwards.

    Parameters
    ----------
    area
        What to try: delivery.
    seed
        Where every choice of the fault plan comes from; a failure prints the seed that repeats it.
    events
        How many events to send (100,000 when neither this nor --seconds is given).
    faults
        How many faults to inject (500 when neither this nor --seconds is given).
    seconds
        About how long the run may take; events and faults follow from it when they are not given.
    kafka
        Demand the real three-broker Kafka as well; without it only the SQLite log is tried.
    json
        Print one JSON object instead of a table.
    strict
        Exit with 1 when a goal is missed (a trial that could not run always exits with 2).
    """
    run = _area("verify", VERIFY_AREAS, area)
    if run is None:
        return 2
    clock = SystemClock()
    return _show(
        lambda: run(seed, events=events, faults=faults, seconds=seconds, kafka=kafka, clock=clock), json, strict
    )


def _area(command: str, areas: Mapping[str, str], area: str) -> Callable[..., Report] | None:
    module = areas.get(area)
    if module is None:
        print(f"genescale {command}: there is no area {area!r}; the areas are: {', '.join(areas)}", file=sys.stderr)
        return None
    return import_module(module).run


def _show(trial: Callable[[], Report], as_json: bool, strict: bool) -> int:
    try:
        outcome = trial()
    except CannotRun as reason:
        print(f"could not run: {reason}", file=sys.stderr)
        return 2
    except GenescaleError as error:
        print(f"the trial broke off: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(report.to_json(outcome) if as_json else report.to_table(outcome))
    return 1 if strict and report.missed(outcome) else 0
