"""`genescale events dlq`: what could not be processed, and what to do with it."""

import getpass
import sys
from typing import Annotated

from cyclopts import App, Parameter

from genescale.cli.event_lines import letter_json, letter_line, pretty, record_json
from genescale.cli.events import AsJson, DataDirectory, Flag, SettingsFile, opened
from genescale.clock import SystemClock
from genescale.errors import CannotStart, GenescaleError
from genescale.events import deadletter
from genescale.events.deadletter import Letter, Letters
from genescale.events.log import EventLog
from genescale.events.topics import DEAD_LETTERS

app = App(name="dlq", help="Dead letters: list, show, retry, discard.", help_formatter="plain")


@app.command(name="list")
def list_letters(
    *,
    all: Annotated[bool, Parameter(negative=())] = False,  # noqa: A002 - the word that a person types
    json: AsJson = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Print the open dead letters.

    A line says: id, state, time, the record that failed, why.

    Parameters
    ----------
    all
        Those that were retried or discarded too.
    json
        A JSON array.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        letters = _letters(log)
    chosen = [letter for letter in letters.values() if all or letter.settled is None]
    if json:
        print(pretty([letter_json(letter) for letter in chosen]))
        return 0
    for letter in sorted(chosen, key=lambda letter: letter.time or ""):
        print(letter_line(letter))
    waiting = sum(letter.settled is None for letter in letters.values())
    print(f"{waiting} open, {len(letters) - waiting} settled", file=sys.stderr)
    return 0


@app.command
def show(
    letter: str,
    *,
    json: AsJson = False,
    reveal: Flag = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Print one dead letter and its record.

    Parameters
    ----------
    letter
        Its id, the first six or more characters of it, or its position.
    json
        One JSON object.
    reveal
        Print the record's payload in full.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    with opened(data, settings) as log:
        found = deadletter.find(_letters(log), letter)
    document = _details(found, reveal=reveal)
    if not json:
        print(letter_line(found))
    print(pretty(document))
    return 0


@app.command
def retry(
    *letters: str,
    reason: str = "",
    revision: int | None = None,
    all: Annotated[bool, Parameter(negative=())] = False,  # noqa: A002 - the word that a person types
    json: AsJson = False,
    data: DataDirectory = None,
    settings: SettingsFile = None,
) -> int:
    """Send events back to their topics.

    Requests go with their next revision. Doing it twice sends nothing twice.

    Parameters
    ----------
    letters
        Ids, the first six or more characters of them, or positions.
    reason
        Why; it is kept with your name.
    revision
        The revision to send, where the next number is taken already. For one letter.
    all
        Every open letter.
    json
        A JSON array of the letters as they are afterwards, with `failed` where one could not be sent.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    if all == bool(letters) or (revision is not None and len(letters) != 1):
        raise CannotStart("name the letters to retry, or say --all; --revision goes with one letter")
    clock, actor = SystemClock(), getpass.getuser()
    with opened(data, settings) as log:
        known = _letters(log)
        chosen = [letter for letter in known.values() if letter.settled is None] if all else []
        chosen += [deadletter.find(known, handle) for handle in letters]
        failed: dict[str, str] = {}
        for letter in chosen:
            try:
                deadletter.retry(log, letter, clock, actor=actor, reason=reason, revision=revision)
            except GenescaleError as error:
                failed[letter.id] = str(error)
        after = _letters(log)
    _report([after[letter.id] for letter in chosen], failed, json=json)
    return 1 if failed else 0


@app.command
def discard(
    *letters: str, reason: str, json: AsJson = False, data: DataDirectory = None, settings: SettingsFile = None
) -> int:
    """Close dead letters for good.

    They stay readable until their retention ends.

    Parameters
    ----------
    letters
        Ids, the first six or more characters of them, or positions.
    reason
        Why; it is kept with your name.
    json
        A JSON array of the letters as they are afterwards.
    data
        The data directory. Default: $XDG_DATA_HOME/genescale, else ~/.local/share/genescale.
    settings
        A settings file (TOML).
    """
    if not letters:
        raise CannotStart("name the letters to discard; `genescale events dlq list` shows them")
    clock, actor = SystemClock(), getpass.getuser()
    with opened(data, settings) as log:
        known = _letters(log)
        chosen = [deadletter.find(known, handle) for handle in letters]
        failed: dict[str, str] = {}
        for letter in chosen:
            try:
                deadletter.discard(log, letter, clock, actor=actor, reason=reason)
            except GenescaleError as error:
                failed[letter.id] = str(error)
        after = _letters(log)
    _report([after[letter.id] for letter in chosen], failed, json=json)
    return 1 if failed else 0


def _letters(log: EventLog) -> Letters:
    if DEAD_LETTERS not in log.topics():
        return {}
    letters, unreadable = deadletter.read_letters(log)
    for item in unreadable:
        print(f"{item.position} is no dead letter: {item.reason}", file=sys.stderr)
    return letters


def _report(letters: list[Letter], failed: dict[str, str], *, json: bool) -> None:
    if json:
        print(pretty([{**letter_json(letter), "failed": failed.get(letter.id)} for letter in letters]))
        return
    for letter in letters:
        if letter.id in failed:
            print(f"{letter.id}: {failed[letter.id]}", file=sys.stderr)
        elif letter.settled is not None:
            sent = f" as {letter.settled.redrive}" if letter.settled.redrive else ""
            number = f", revision {letter.settled.revision}" if letter.settled.revision else ""
            print(f"{letter.id}  {letter.settled.outcome}{sent}{number}")


def _details(letter: Letter, *, reveal: bool) -> dict[str, object]:
    data = letter.data
    return {
        **letter_json(letter),
        "stack": data.failure.stack,
        "first_error": data.first_failure.error if data.first_failure else None,
        "first_message": data.first_failure.message if data.first_failure else None,
        "versions": data.versions,
        "original": record_json(data.record.record(), reveal=reveal),
    }
