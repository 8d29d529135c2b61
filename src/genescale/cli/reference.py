"""`docs/reference/cli.md`, made from what the commands themselves say. A test compares.

Run `python -m genescale.cli.reference > docs/reference/cli.md` after a change of a command.
"""

import io
import sys
from collections.abc import Iterable

from cyclopts import App
from rich.console import Console

from genescale.cli.main import COMMANDS, command_line, overview

_COLUMNS = 100

_HEAD = """\
# Commands

<!-- Generated: python -m genescale.cli.reference > docs/reference/cli.md -->

Every command has `--help`. Answers go to standard output, everything else to standard error. Exit status: 0 it worked,
1 it did not, 2 it could not run (usage, a setting, this machine), 130 Ctrl-C. A failure is one line; `--debug` adds the
traceback. Settings: [settings.md](settings.md).
"""


def page() -> str:
    """The whole page."""
    app = command_line()
    parts = [_HEAD, _shown("genescale --help", overview())]
    for command in COMMANDS:
        parts.append(f"## genescale {command.name}\n")
        parts += [
            _shown(f"genescale {' '.join(words)} --help", _help(app, words)) for words in _under(app, command.name)
        ]
    return "\n".join(parts)


def _under(app: App, name: str) -> Iterable[list[str]]:
    """A command and everything below it, as the words that a person types."""
    yield [name]
    below = app[name]
    for sub in below:
        if not sub.startswith("-"):
            yield from ([name, *words] for words in _under(below, sub))


def _help(app: App, words: list[str]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=_COLUMNS, no_color=True, force_terminal=False, legacy_windows=False)
    app.help_print(words, console=console)
    return out.getvalue()


def _shown(command: str, text: str) -> str:
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join(["```console", f"$ {command}", *lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(page())
