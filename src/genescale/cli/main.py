"""The command `genescale`: finds the command that was asked for, and turns every failure into one clear line.

The table below is all that `genescale --help` needs; the module of a command is imported when that command runs, so
that help is instant and a missing extra hurts only the command that wants it.

Exit status: 0 it worked, 1 it did not, 2 it could not run (usage, settings, this machine), 130 Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from genescale import __version__
from genescale.errors import CannotStart, GenescaleError, Unsupported

if TYPE_CHECKING:
    from cyclopts import App

FAILED = 1
CANNOT_RUN = 2
INTERRUPTED = 130


class Command(NamedTuple):
    """One line of the help, and where the command lives (`module:attribute`, a function or a cyclopts App)."""

    name: str
    group: str
    summary: str
    target: str


COMMANDS: tuple[Command, ...] = (
    Command("up", "Start", "Run the whole platform on this machine, with its portal.", "genescale.cli.platform:up"),
    Command("run", "Start", "Run one role in the foreground: gateway, keeper, worker.", "genescale.cli.platform:run"),
    Command("reference", "Analyse", "Build, list, choose and check references.", "genescale.cli.references:app"),
    Command("annotate", "Work", "Say what each variant does to each transcript.", "genescale.cli.annotate:annotate"),
    Command("ensembl", "Work", "Ask Ensembl's own VEP server instead.", "genescale.cli.ensembl:ensembl"),
    Command("settings", "Look", "Print every setting: value, unit, source.", "genescale.cli.platform:settings"),
    Command("events", "Operate", "Look into the event log, replay it, mend dead letters.", "genescale.cli.events:app"),
    Command("bench", "Try", "Measure how fast one area is on this machine.", "genescale.cli.trials:bench"),
    Command("verify", "Try", "Try one area under injected faults, from a seed.", "genescale.cli.trials:verify"),
)

_USAGE = "genescale COMMAND --help tells more about one; --debug shows the traceback of a failure; --version."


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    try:
        return _run(given)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `genescale ... | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error.__cause__, ModuleNotFoundError):  # so does cyclopts tell what a command could not import
            error = error.__cause__
        print(_explain(given, error), file=sys.stderr)
        return CANNOT_RUN if _could_not_run(error) else FAILED


def overview() -> str:
    """What `genescale --help` prints."""
    import textwrap  # noqa: PLC0415 - the commands themselves do without

    lines = ["genescale COMMAND", "", "Analyses genomes on demand. Begin with: genescale up", ""]
    width = max(len(command.name) for command in COMMANDS) + 2
    group = None
    for command in COMMANDS:
        if command.group != group:
            lines += [f"{command.group}:"] if group is None else ["", f"{command.group}:"]
            group = command.group
        lines.append(f"  {command.name:<{width}}{command.summary}")
    return "\n".join([*lines, "", *textwrap.wrap(_USAGE, 100)])


def _run(words: list[str]) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        print(overview())
        return 0
    if words == ["--version"]:
        print(version())
        return 0
    if words[0] == "run" and len(words) == 2 and not words[1].startswith("-"):
        return _run_role(words[1])
    if words[0] == "annotate" and (plain := _plain_annotate(words[1:])) is not None:
        return plain
    return _dispatch(words)


def _run_role(name: str) -> int:
    """What the supervisor starts: without the command-line library, a role starts sooner and stays smaller."""
    from genescale import config, wiring  # noqa: PLC0415

    return wiring.run_role(name, config.load(os.environ))


def _plain_annotate(words: list[str]) -> int | None:
    """One variant is answered at once: without the command-line library. None where that is needed after all."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads for matrices would wait and burn the core
    from genescale.cli import annotate_words  # noqa: PLC0415

    given = annotate_words.quick(words)
    return None if given is None else annotate_words.run_words(given)


def command_line() -> "App":
    """All commands as one cyclopts App, each still a promise: its module is imported when it is asked for."""
    from cyclopts import App  # noqa: PLC0415

    app = App(name="genescale", version=__version__, help_formatter="plain", suppress_keyboard_interrupt=False)
    for command in COMMANDS:
        app.command(command.target, name=command.name)
    return app


def _dispatch(words: list[str]) -> int:
    from cyclopts import CycloptsError  # noqa: PLC0415

    if words[0] not in {command.name for command in COMMANDS}:
        names = ", ".join(command.name for command in COMMANDS)
        print(f"genescale: there is no command {words[0]!r}; there are: {names}", file=sys.stderr)
        return CANNOT_RUN
    try:
        outcome = command_line()(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        reason = " ".join(str(error).split())
        print(f"genescale {words[0]}: {reason} (genescale {words[0]} --help)", file=sys.stderr)
        return CANNOT_RUN
    return outcome if isinstance(outcome, int) else 0


def version() -> str:
    """What `genescale --version` prints."""
    from genescale.wiring import build_facts  # noqa: PLC0415

    facts = build_facts()
    return (
        f"genescale {facts.version}\n"
        f"Python {facts.python}, SQLite {facts.sqlite}, kernels {facts.kernels}, portal {facts.portal}"
    )


def _could_not_run(error: Exception) -> bool:
    from genescale.config import BadSetting  # noqa: PLC0415

    return isinstance(error, BadSetting | CannotStart | Unsupported | ModuleNotFoundError)


def _explain(words: list[str], error: Exception) -> str:
    where = f"genescale {words[0]}" if words else "genescale"
    if isinstance(error, ModuleNotFoundError):
        return f"{where}: {_missing_module(error)}"
    if isinstance(error, GenescaleError):
        return f"{where}: {error}"
    return f"{where}: an error that nobody expected: {type(error).__name__}: {error} (--debug shows where)"


def _missing_module(error: ModuleNotFoundError) -> str:
    from genescale.wiring import EXTRAS  # noqa: PLC0415

    name = error.name or str(error)
    if name.startswith("genescale."):
        return f"this installation does not have {name}; install Genescale again"
    extra = EXTRAS.get(name.partition(".")[0])
    way_out = (
        f"pip install 'genescale[{extra}]' (in a checkout: uv sync --extra {extra})" if extra else f"install {name}"
    )
    return f"the package {name} is not installed: {way_out}"
