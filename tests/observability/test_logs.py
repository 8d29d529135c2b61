"""Log lines: nothing sensitive reaches one, whoever writes it, and no log call that goes wrong stops the work."""

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.observability import logs
from genescale.observability.redact import TEXT_MAX, clean
from genescale.sensitive import Sensitive

SEQUENCE = "GATTACAGATTACAGATTACAGATTACA"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """`configure` takes over things of the whole process; give them back."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook = kept


class Lines(io.StringIO):
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().split("\n")[:-1]]


@pytest.fixture
def lines() -> Lines:
    stream = Lines()
    logs.configure("worker", "debug", "json", stream, ManualClock())
    return stream


# ---- what must never be read ----

letters = st.text(st.sampled_from("ACGTUNRYSWKMBDHVacgtn"), min_size=20, max_size=200)


def grouped(sequence: str) -> str:
    return " ".join(sequence[start : start + 10] for start in range(0, len(sequence), 10))


def wrapped(sequence: str) -> str:
    return "\n".join(sequence[start : start + 15] for start in range(0, len(sequence), 15))


def parse(sequence: str) -> None:
    local = sequence  # a local variable of the frame
    raise ValueError(f"cannot parse {local}") from KeyError(sequence)


def raised(sequence: str) -> ValueError:
    try:
        parse(sequence)
    except ValueError as error:
        error.add_note(f"while reading {sequence}")
        return error
    raise AssertionError


def correlated_line(log: logs.Logger, sequence: str) -> None:
    with logs.correlated(analysis_id=sequence):
        log.info("got")


LEAKS: dict[str, Callable[[logs.Logger, str], Any]] = {
    "message": lambda log, s: log.info(f"got {s}"),
    "message with arguments": lambda log, s: log.info("got %s", s),
    "value": lambda log, s: log.info("got", sequence=s),
    "name of a value": lambda log, s: log.info("got", **{s: 1}),
    "nested": lambda log, s: log.info("got", a={"b": [{"c": (s,)}]}),
    "key of a dict": lambda log, s: log.info("got", a={s: 1}),
    "set": lambda log, s: log.info("got", a={s}),
    "single letters": lambda log, s: log.info("got", a=list(s)),
    "pieces": lambda log, s: log.info("got", a=[s[i : i + 5] for i in range(0, len(s), 5)]),
    "groups of ten": lambda log, s: log.info(grouped(s)),
    "lines": lambda log, s: log.info("got", a=wrapped(s)),
    "bytes": lambda log, s: log.info("got", a=s.encode()),
    "exception as value": lambda log, s: log.info("got", error=raised(s)),
    "exception": lambda log, s: log.error("failed", exc_info=raised(s)),
    "stdlib": lambda log, s: logging.getLogger("uvicorn.error").warning("got %s", s),
    "stdlib exception": lambda log, s: logging.getLogger("lib").error("failed", exc_info=raised(s)),
    "correlation": correlated_line,
    "object": lambda log, s: log.info("got", a=Holder(s)),
    "path": lambda log, s: log.info("got", error=FileNotFoundError(2, "No such file", f"/data/{s}.fa")),
}


class Holder:
    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Holder({self.value})"


@pytest.mark.parametrize("form", ["json", "pretty"])
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
@settings(max_examples=25)
@given(sequence=letters)
def test_no_sequence_reaches_a_log(leak: Callable[[logs.Logger, str], Any], form: logs.Format, sequence: str) -> None:
    stream = Lines()
    logs.configure("worker", "debug", form, stream, ManualClock())
    leak(logs.get_logger("x"), sequence)
    written = stream.getvalue()
    assert written
    assert longest_common(written, sequence) < 20


# Not the three that build new text out of the letters: whoever reveals a value letter by letter has opened it.
SEALED = LEAKS.keys() - {"name of a value", "groups of ten", "lines"}


@pytest.mark.parametrize("leak", sorted(SEALED))
@settings(max_examples=25)
@given(value=st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=12, max_size=40))
def test_nothing_sealed_reaches_a_log_however_it_is_passed(leak: Callable[[logs.Logger, Any], Any], value: str) -> None:
    stream = Lines()
    logs.configure("worker", "debug", "json", stream, ManualClock())
    sealed: Any = Passed(value)
    LEAKS[leak](logs.get_logger("x"), sealed)
    assert stream.getvalue()
    assert value not in stream.getvalue()
    assert json.dumps(value)[1:-1] not in stream.getvalue()


class Passed(Sensitive[str]):
    """A sealed value in the places of `LEAKS` that want text: it stays sealed through slices, loops and encoding."""

    def __iter__(self) -> Iterator[Sensitive[str]]:
        return iter([Sensitive(self.reveal())])

    def __getitem__(self, _: slice) -> Sensitive[str]:
        return self

    def encode(self) -> Sensitive[str]:
        return self

    def keys(self) -> list[str]:
        return []


def longest_common(written: str, sequence: str) -> int:
    squeezed = "".join(written.split())
    pieces = (sequence[start : start + 20] for start in range(len(sequence) - 19))
    return 20 if any(piece in squeezed or piece in written for piece in pieces) else 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_value_makes_one_line_of_json(value: object) -> None:
    stream = Lines()
    logs.configure("worker", "debug", "json", stream, ManualClock())
    logs.get_logger("x").info("got", value=value)
    assert len(stream.parsed()) == 1


@pytest.mark.parametrize(
    "value",
    ["\ud800", float("nan"), 2**70, -(2**70), object, lambda: 1, range(3), {1: {2: 3}}, Holder("x"), [[[[[[[[1]]]]]]]]],
    ids=repr,
)
def test_odd_values_make_a_line_too(lines: Lines, value: object) -> None:
    logs.get_logger("x").info("got", value=value)
    assert len(lines.parsed()) == 1


def test_a_value_that_contains_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "nested too deeply" in repr(clean(loop))


class Broken(dict[str, int]):
    def __len__(self) -> int:
        raise RuntimeError("no")

    def items(self) -> Any:
        raise RuntimeError("no")


def test_a_value_that_cannot_be_shown_is_named_by_its_type(lines: Lines) -> None:
    logs.get_logger("x").info("got", value=[Broken()])
    assert len(lines.parsed()) == 1


def test_english_is_left_alone() -> None:
    text = "a bad grab: at a hard day, a man cannot attach what a database had, and that was that; scan 3 ran as usual"
    assert clean(text) == text


def test_a_long_value_loses_its_middle() -> None:
    cleaned = clean("x" * 1_000_000)
    assert isinstance(cleaned, str)
    assert len(cleaned) < TEXT_MAX + 100
    assert "left out" in cleaned


@given(letters)
def test_cleaning_twice_changes_nothing(sequence: str) -> None:
    once = clean(f"a {sequence} b")
    assert clean(once) == once


# ---- what a line says ----


def test_a_line_has_time_level_role_event_module_and_its_facts(lines: Lines) -> None:
    logs.get_logger("genescale.x").warning("batch committed", records=5)
    assert lines.parsed() == [
        {
            "time": "2023-11-14T22:13:20.000Z",
            "level": "warning",
            "role": "worker",
            "event": "batch committed",
            "module": "genescale.x",
            "records": 5,
        }
    ]


def test_facts_do_not_displace_the_head_of_a_line(lines: Lines) -> None:
    logs.get_logger("x").info("got", time=1, role="other")
    line = lines.parsed()[0]
    assert (line["role"], line["role_"], line["time_"]) == ("worker", "other", 1)


def test_correlation_ids_stand_on_lines_of_libraries_too_and_end_with_the_block(lines: Lines) -> None:
    with logs.correlated(analysis_id="a-1", event_id="e-1"):
        logging.getLogger("lib").warning("inside")
    logging.getLogger("lib").warning("outside")
    inside, outside = lines.parsed()
    assert (inside["analysis_id"], inside["event_id"]) == ("a-1", "e-1")
    assert "analysis_id" not in outside


def test_a_traceback_shows_causes_and_no_locals(lines: Lines) -> None:
    logs.get_logger("x").error("failed", exc_info=raised("secret-of-a-person"))
    exception = lines.parsed()[0]["exception"]
    assert "KeyError" in exception
    assert "ValueError" in exception
    assert "test_logs.py" in exception
    assert "local =" not in exception


def test_an_exception_shows_its_arguments_by_type(lines: Lines) -> None:
    logs.get_logger("x").error("failed", exc_info=ValueError(Sensitive("GAT"), b"chr17:1:G>A", {"row": Sensitive("x")}))
    exception = lines.parsed()[0]["exception"]
    assert "<sensitive 3 long" in exception
    assert "chr17" not in exception


def test_libraries_never_speak_below_info_and_quiet_ones_only_warn(lines: Lines) -> None:
    logging.getLogger("websockets.protocol").info("> TEXT '...' [20 bytes]")
    logging.getLogger("uvicorn.access").info("GET /?q=...")
    logging.getLogger("lib").debug("detail")
    assert lines.getvalue() == ""


def test_a_log_call_of_a_library_that_does_not_fit_is_told_without_its_arguments() -> None:
    lines = Lines()
    logs.configure("worker", "info", "json", lines)  # here, after pytest has put its own handlers in place
    logging.getLogger("lib").warning("got %d", "chr17:1:G>A")
    line = lines.parsed()[0]
    assert (line["event"], line["failure"]) == ("a log call failed", "TypeError")
    assert "chr17" not in lines.getvalue()


def test_warnings_become_lines(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn(f"odd {SEQUENCE}", stacklevel=1)
        logging.captureWarnings(capture=False)
    assert lines.parsed()[0]["module"] == "py.warnings"
    assert SEQUENCE not in lines.getvalue()


def test_a_level_filters(lines: Lines) -> None:
    logs.configure("worker", "warning", "json", lines)
    log = logs.get_logger("x")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines.parsed()] == ["yes"]


def test_a_logger_made_before_configure_follows_it() -> None:
    log = logs.get_logger("x")
    first, second = Lines(), Lines()
    for stream in (first, second):
        logs.configure("worker", "info", "json", stream)
        log.info("here")
    assert len(first.parsed()) == len(second.parsed()) == 1


def test_auto_is_json_in_a_pipe_and_pretty_on_a_terminal() -> None:
    class Terminal(Lines):
        def isatty(self) -> bool:
            return True

    pipe, terminal = Lines(), Terminal()
    for stream in (pipe, terminal):
        logs.configure("gateway", "info", "auto", stream, ManualClock())
        logs.get_logger("x").info("listening", port=8080)
    assert pipe.parsed()[0]["port"] == 8080
    assert terminal.getvalue() == "22:13:20.000 info    gateway    listening  module=x  port=8080\n"


def test_a_value_cannot_forge_a_line_or_paint_on_the_terminal() -> None:
    stream = Lines()
    logs.configure("worker", "info", "pretty", stream)
    logs.get_logger("x").info("got", name="a\n12:00:00 error forged\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_line_that_cannot_be_written_is_counted_and_told_with_the_next() -> None:
    class Full(Lines):
        full = True

        def write(self, text: str, /) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    logs.configure("worker", "info", "json", stream)
    log = logs.get_logger("x")
    log.info("one")
    log.info("two")
    stream.full = False
    log.info("three")
    log.info("four")
    assert [(line["event"], line.get("lines_lost_before")) for line in stream.parsed()] == [
        ("three", 2),
        ("four", None),
    ]


def test_lines_of_several_threads_stay_whole(lines: Lines) -> None:
    log = logs.get_logger("x")
    threads = [threading.Thread(target=lambda: [log.info("x" * 300) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines.parsed()) == 200


UNCAUGHT = """
import sys, threading
from genescale.observability import logs
if len(sys.argv) > 1:
    logs.configure("worker", "info", "json")
def fail(): raise ValueError("cannot parse GATTACAGATTACAGATTACAGATTACA")
thread = threading.Thread(target=fail); thread.start(); thread.join()
fail()
"""


def test_exceptions_that_nobody_catches_become_lines_without_sequences() -> None:
    done = subprocess.run([sys.executable, "-c", UNCAUGHT, "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in found] == ["uncaught exception"] * 2
    assert SEQUENCE not in done.stderr.replace('ValueError(\\"cannot parse', "")
    assert done.stdout == ""


def test_before_configure_warnings_go_to_standard_error_and_are_clean() -> None:
    program = (
        "from genescale.observability import logs\n"
        f"logs.get_logger('x').info('no')\nlogs.get_logger('x').warning('{SEQUENCE}')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["event"].startswith("<sequence? 28 long")
    assert done.stdout == ""
