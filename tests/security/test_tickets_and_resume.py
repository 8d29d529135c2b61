import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.clock import ManualClock, SystemClock
from genescale.security.tables import SECURITY_TABLES, STREAM_TICKETS
from genescale.security.tickets import BadResumeToken, BadTicket, ResumeTokens, Tickets
from genescale.sensitive import Sensitive
from genescale.store.tables import Tables
from support.declared_tables import open_at

ORIGIN = "https://genescale.example.org:443"
KEY, OLD_KEY = b"k" * 32, b"o" * 32


@pytest.fixture
def tickets(tables: Tables, clock: ManualClock) -> Tickets:
    return Tickets(tables, clock)


def refused(tickets: Tickets, token: Sensitive[str], subject: str = "ada", origin: str = ORIGIN) -> None:
    with pytest.raises(BadTicket) as caught:
        tickets.redeem(token, subject, origin)
    assert str(caught.value) == "this ticket opens nothing; ask for a new one"


def test_a_ticket_opens_one_stream(tickets: Tickets):
    ticket = tickets.issue("ada", ORIGIN)
    tickets.redeem(ticket, "ada", ORIGIN)
    refused(tickets, ticket)


def test_thirty_seconds(tickets: Tickets, clock: ManualClock):
    ticket = tickets.issue("ada", ORIGIN)
    clock.advance(29.9)
    late = tickets.issue("ada", ORIGIN)
    tickets.redeem(ticket, "ada", ORIGIN)
    clock.advance(30)
    refused(tickets, late)


@pytest.mark.parametrize(("subject", "origin"), [("bob", ORIGIN), ("ada", "https://evil.example.org:443"), ("", "")])
def test_shown_in_the_wrong_place_it_is_used_up(tickets: Tickets, subject: str, origin: str):
    ticket = tickets.issue("ada", ORIGIN)
    refused(tickets, ticket, subject, origin)
    refused(tickets, ticket)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 10_000])
def test_a_forged_ticket_opens_nothing(tickets: Tickets, token: str):
    refused(tickets, Sensitive(token))


def test_of_many_gateways_that_are_shown_a_ticket_at_once_one_takes_it(
    tables: Tables, clock: ManualClock, address: str
):
    ticket = Tickets(tables, clock).issue("ada", ORIGIN)
    start = threading.Barrier(6)
    opened: list[int] = []

    def gateway(number: int) -> None:
        own = open_at(address, SECURITY_TABLES, SystemClock())  # waits for the others' lock in true time
        start.wait(30)
        try:
            Tickets(own, clock).redeem(ticket, "ada", ORIGIN)
            opened.append(number)
        except BadTicket:
            pass
        finally:
            own.close()

    threads = [threading.Thread(target=gateway, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(opened) == 1


def test_unused_tickets_are_bounded_and_forgotten(tickets: Tickets, tables: Tables, clock: ManualClock):
    for _ in range(100):
        tickets.issue("ada", ORIGIN)
    with pytest.raises(BadTicket, match="100 tickets"):
        tickets.issue("ada", ORIGIN)
    tickets.issue("bob", ORIGIN)
    clock.advance(31)
    tickets.issue("ada", ORIGIN)
    with tables.snapshot() as snapshot:
        assert snapshot.count(STREAM_TICKETS) == 1


def test_the_tables_hold_no_ticket(tickets: Tickets, tables: Tables):
    ticket = tickets.issue("ada", ORIGIN)
    with tables.snapshot() as snapshot:
        assert ticket.reveal() not in str(snapshot.select(STREAM_TICKETS))
    assert ticket.reveal() not in repr(ticket)


# Resume tokens

SAID = {"session": "s1", "project": "p1", "epoch": "e1"}


@pytest.fixture
def resume(clock: ManualClock) -> ResumeTokens:
    return ResumeTokens([KEY], clock)


def test_a_resume_token_says_what_was_signed(resume: ResumeTokens, clock: ManualClock):
    said = resume.check(resume.sign(**SAID, subject="ada"), subject="ada")
    assert (said.session, said.project, said.epoch, said.issued_ms) == ("s1", "p1", "e1", clock.wall_ms())


def test_any_gateway_with_the_key_checks_it_also_after_the_key_changed(clock: ManualClock):
    token = ResumeTokens([OLD_KEY], clock).sign(**SAID, subject="ada")
    assert ResumeTokens([KEY, OLD_KEY], clock).check(token, subject="ada")
    with pytest.raises(BadResumeToken):
        ResumeTokens([KEY], clock).check(token, subject="ada")


def test_somebody_elses_token_is_told_apart_from_a_forged_one(resume: ResumeTokens):
    token = resume.sign(**SAID, subject="ada")
    with pytest.raises(BadResumeToken) as caught:
        resume.check(token, subject="eve")
    assert caught.value.foreign
    with pytest.raises(BadResumeToken) as caught:
        resume.check(token[:-2] + "AA", subject="ada")
    assert not caught.value.foreign


def test_a_token_that_is_too_old_or_from_the_future_resumes_nothing(resume: ResumeTokens, clock: ManualClock):
    token = resume.sign(**SAID, subject="ada")
    clock.advance(86_399)
    assert resume.check(token, subject="ada")
    clock.advance(1)
    with pytest.raises(BadResumeToken):
        resume.check(token, subject="ada")
    clock.jump_wall(-86_400 - 120)
    with pytest.raises(BadResumeToken):
        resume.check(token, subject="ada")


def test_every_byte_is_signed(resume: ResumeTokens):
    token = resume.sign(**SAID, subject="ada")
    for place in range(len(token) - 1):  # the last letter holds bits that say nothing
        other = "A" if token[place] != "A" else "B"
        with pytest.raises(BadResumeToken):
            resume.check(token[:place] + other + token[place + 1 :], subject="ada")


def test_the_token_prints_nobody(resume: ResumeTokens):
    import base64  # noqa: PLC0415

    payload = resume.sign(**SAID, subject="dr-ada").split(".")[0]
    assert b"dr-ada" not in base64.urlsafe_b64decode(payload + "==")


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}", fullmatch=True))
def test_no_text_breaks_the_check(text: str):
    with pytest.raises(BadResumeToken):
        ResumeTokens([KEY], ManualClock()).check(text, subject="ada")


def test_a_short_key_is_refused(clock: ManualClock):
    for keys in ([], [b"short"], [KEY, b""]):
        with pytest.raises(ValueError, match="32 bytes"):
            ResumeTokens(keys, clock)
