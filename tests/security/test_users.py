from pathlib import Path
from typing import Any

import pytest

from genescale.clock import ManualClock
from genescale.errors import InvalidInput, UnknownName
from genescale.security.passwords import Passwords
from genescale.security.policy import decide
from genescale.security.principal import CLINICAL_CARE, Principal, external_subject
from genescale.security.revocations import Revocations
from genescale.security.tables import REVOCATIONS, SECURITY_TABLES, USERS
from genescale.security.users import NotSignedIn, TooManyAttempts, Users, bearer_credential
from genescale.sensitive import Sensitive
from genescale.store.tables import Tables
from support.declared_tables import DECLARED, open_at
from support.identity import CHEAP, users_of

PASSWORD = Sensitive("a sentence is fine")
WRONG = Sensitive("another sentence")


@pytest.fixture
def users(tables: Tables, clock: ManualClock) -> Users:
    return users_of(tables, clock)[0]


def why(users: Users, token: Sensitive[str]) -> str:
    with pytest.raises(NotSignedIn) as caught:
        users.authenticate(token)
    assert len(token) < 2 or token.reveal() not in str(caught.value)
    return caught.value.why


def ada(users: Users, **more: Any) -> str:
    return users.create("ada", password=PASSWORD, roles={"p1": ["analyst"]}, **more)


def test_sign_in_with_a_password(users: Users):
    subject = ada(users, purposes=[CLINICAL_CARE])
    signed_in = users.sign_in("ada", PASSWORD)
    principal = users.authenticate(signed_in.token)
    assert principal.subject == subject == signed_in.principal.subject
    assert principal.roles_in("p1") == {"analyst"}
    assert principal.default_project == "p1"
    assert principal.purposes == {CLINICAL_CARE}
    assert signed_in.token.reveal() not in repr(signed_in)
    assert "ada" not in repr(signed_in)


def test_wrong_password_unknown_name_and_disabled_user_look_alike(users: Users):
    ada(users)
    bob = users.create("bob", password=PASSWORD)
    users.set_enabled(bob, enabled=False)
    linked_only = users.create("eve")
    said: set[str] = set()
    for name, password in (("ada", WRONG), ("nobody", PASSWORD), ("bob", PASSWORD), ("eve", PASSWORD), ("", PASSWORD)):
        with pytest.raises(NotSignedIn) as caught:
            users.sign_in(name, password)
        said.add(f"{caught.value} {caught.value.why}")
    assert len(said) == 1
    assert linked_only


def test_guessing_is_slowed_down_for_each_name(users: Users, clock: ManualClock):
    ada(users)
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            users.sign_in("ada", WRONG)
    with pytest.raises(TooManyAttempts) as caught:
        users.sign_in("ada", PASSWORD)
    assert caught.value.after_s == pytest.approx(10)
    clock.advance(10)
    assert users.sign_in("ada", PASSWORD)
    for _ in range(20):
        users.sign_in("ada", PASSWORD)  # who knows it is never slowed down


def test_what_the_tables_hold_signs_nobody_in(users: Users, tables: Tables):
    subject = ada(users)
    token, link = users.sign_in("ada", PASSWORD).token, users.link(subject)
    with tables.snapshot() as snapshot:
        held = str([snapshot.select(table) for table in SECURITY_TABLES])
    for secret in (token.reveal(), link.reveal(), PASSWORD.reveal()):
        assert secret not in held


def test_the_link_signs_in_once(users: Users):
    link = users.link(ada(users))
    assert users.redeem_link(link).principal.roles_in("p1")
    with pytest.raises(NotSignedIn):
        users.redeem_link(link)


def test_the_link_ends_by_itself(users: Users, clock: ManualClock):
    link = users.link(ada(users))
    clock.advance(900)
    with pytest.raises(NotSignedIn):
        users.redeem_link(link)


@pytest.mark.parametrize("token", ["", "x", "é\ud800", "a" * 10_000])
def test_what_is_no_token_opens_nothing(users: Users, token: str):
    with pytest.raises(NotSignedIn):
        users.redeem_link(Sensitive(token))
    assert why(users, Sensitive(token)) == "unknown"


def test_fifteen_minutes_without_an_action_end_it(users: Users, clock: ManualClock):
    ada(users)
    token = users.sign_in("ada", PASSWORD).token
    for _ in range(5):
        clock.advance(800)
        users.authenticate(token)
    clock.advance(800)
    users.authenticate(token, active=False)  # a page that polls is no person
    clock.advance(100)
    assert why(users, token) == "idle"
    assert why(users, token) == "unknown"


def test_twelve_hours_end_it_whatever_happens(users: Users, clock: ManualClock):
    ada(users)
    token = users.sign_in("ada", PASSWORD).token
    for _ in range(43_200 // 600 - 1):
        clock.advance(600)
        users.authenticate(token)
    clock.advance(600)
    assert why(users, token) == "expired"


def test_signing_out_ends_what_was_opened_with_it(tables: Tables, clock: ManualClock):
    users, revocations = users_of(tables, clock)
    ada(users)
    one, two = users.sign_in("ada", PASSWORD), users.sign_in("ada", PASSWORD)
    assert not revocations.covers(one.principal)
    users.sign_out(one.token)
    users.sign_out(one.token)
    assert revocations.covers(one.principal)
    assert not revocations.covers(two.principal)
    assert why(users, one.token) == "unknown"
    assert users.authenticate(two.token)


def test_revoking_a_subject_ends_everything_and_lets_it_sign_in_again(tables: Tables, clock: ManualClock):
    users, revocations = users_of(tables, clock)
    subject = ada(users)
    before = users.sign_in("ada", PASSWORD)
    users.revoke(subject)
    assert revocations.covers(before.principal)
    with pytest.raises(NotSignedIn):
        users.renew(before.principal, active=True)
    again = users.sign_in("ada", PASSWORD)  # in the same millisecond
    assert not revocations.covers(again.principal)
    clock.jump_wall(-3_600)
    users.revoke(subject)  # by a clock that went back: what was issued before stays revoked
    assert revocations.covers(before.principal)


def test_a_revocation_reaches_another_process_within_a_second(tables: Tables, clock: ManualClock, address: str):
    users, _ = users_of(tables, clock)
    other = open_at(address, SECURITY_TABLES, clock)
    elsewhere = Revocations(other, clock)
    subject = ada(users)
    principal = users.sign_in("ada", PASSWORD).principal
    assert not elsewhere.covers(principal)
    users.revoke(subject)
    clock.advance(1.0)
    assert elsewhere.covers(principal)
    other.close()


def test_roles_change_at_once_for_who_is_signed_in(users: Users):
    subject = ada(users)
    signed_in = users.sign_in("ada", PASSWORD)
    users.grant(subject, "p2", "clinician")
    assert users.renew(signed_in.principal, active=False).roles_in("p2") == {"clinician"}
    assert users.take_away(subject, "p1", "analyst")
    assert not users.take_away(subject, "p1", "analyst")
    assert users.authenticate(signed_in.token).roles_in("p1") == frozenset()
    assert users.members("p2") == [(subject, "clinician")]


def test_disabling_ends_it_and_enabling_brings_no_old_sign_in_back(users: Users):
    subject = ada(users)
    token = users.sign_in("ada", PASSWORD).token
    users.set_enabled(subject, enabled=False)
    assert why(users, token) == "unknown"
    with pytest.raises(NotSignedIn):
        users.redeem_link(users.link(subject))
    users.set_enabled(subject, enabled=True)
    assert why(users, token) == "unknown"
    assert users.sign_in("ada", PASSWORD)


def test_a_new_password_ends_all_sign_ins(users: Users):
    subject = ada(users)
    token = users.sign_in("ada", PASSWORD).token
    users.set_password(subject, Sensitive("a new sentence"))
    assert why(users, token) == "unknown"
    with pytest.raises(NotSignedIn):
        users.sign_in("ada", PASSWORD)
    assert users.sign_in("ada", Sensitive("a new sentence"))


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 257])
def test_passwords_that_are_too_short_or_too_long_are_refused(users: Users, password: str):
    with pytest.raises(InvalidInput, match="12 to 256") as caught:
        users.create("ada", password=Sensitive(password))
    assert not password or f"'{password}'" not in str(caught.value)


def test_a_hash_that_nobody_stored_matches_nothing():
    passwords = Passwords(**CHEAP)
    assert not passwords.matches(None, Sensitive("a password that nobody has"))  # what stands in for it
    assert not passwords.matches("no hash at all", PASSWORD)
    assert not passwords.matches(passwords.hash(PASSWORD), Sensitive("x" * 257))
    assert passwords.matches(passwords.hash(PASSWORD), PASSWORD)


@pytest.mark.parametrize("name", ["", " ada", "a\nb", "x" * 129])
def test_names_that_nobody_could_type_are_refused(users: Users, name: str):
    with pytest.raises(InvalidInput):
        users.create(name)


def test_the_owner_of_a_laptop_is_made_once(users: Users):
    owner = users.owner()
    assert users.owner() == owner
    principal = users.redeem_link(users.link(owner)).principal
    assert decide(principal, "read", "default").allowed
    assert decide(principal, "submit-urgent", "default").allowed
    assert not decide(principal, "read-audit", "another").allowed
    assert not decide(principal, "read", "another").allowed
    [user] = users.listing()
    assert (user.name, user.enabled, user.subject) == ("owner", True, owner)
    assert user.roles["*"] == {"platform-admin"}
    assert "owner" not in repr(user)


def test_a_name_is_given_once(users: Users):
    ada(users)
    with pytest.raises(InvalidInput, match="exists already"):
        ada(users)


@pytest.mark.parametrize(("project", "role"), [("p", "root"), ("*", "clinician"), ("", "viewer"), ("p" * 65, "viewer")])
def test_roles_that_would_open_too_much_cannot_be_given(users: Users, project: str, role: str):
    with pytest.raises(InvalidInput):
        users.create("ada", roles={project: [role]})
    with pytest.raises(InvalidInput):
        users.grant("somebody", project, role)
    assert users.subject_of("ada") is None


def test_changing_a_user_that_is_not_there_says_so(users: Users):
    with pytest.raises(UnknownName):
        users.set_enabled("local:nobody", enabled=False)


def test_a_hash_with_old_costs_is_made_anew_at_the_next_sign_in(tables: Tables, clock: ManualClock):
    old, revocations = users_of(tables, clock)
    ada(old)
    dearer = Users(tables, clock, Passwords(**{**CHEAP, "time_cost": 2}), revocations)
    dearer.sign_in("ada", PASSWORD)
    assert dearer._passwords.outdated(stored(tables)) is False
    assert old._passwords.outdated(stored(tables)) is True


def stored(tables: Tables) -> str:

    with tables.snapshot() as snapshot:
        row = snapshot.get(USERS, {"name": "ada"})
    assert row is not None
    return row["password"]


# Whom an identity provider knows

EXTERNAL = Principal(
    subject=external_subject("https://id", "u1"),
    name="Dr Ada",
    roles={"p1": frozenset({"clinician"})},
    purposes=frozenset({CLINICAL_CARE}),
    strong=True,
    lab_director=True,
)


def test_what_the_provider_said_counts_for_the_sign_in(users: Users):
    users.grant(EXTERNAL.subject, "p2", "viewer")
    signed_in = users.sign_in_proven(EXTERNAL)
    principal = users.authenticate(signed_in.token)
    assert principal.roles_in("p1") == {"clinician"}
    assert principal.roles_in("p2") == {"viewer"}
    assert (principal.strong, principal.lab_director, principal.name) == (True, True, "Dr Ada")


def test_somebody_from_outside_can_be_disabled(users: Users):
    signed_in = users.sign_in_proven(EXTERNAL)
    users.set_enabled(EXTERNAL.subject, enabled=False)
    assert why(users, signed_in.token) == "unknown"
    with pytest.raises(NotSignedIn):
        users.sign_in_proven(EXTERNAL)
    bearer = Principal(subject=EXTERNAL.subject, credential=bearer_credential("x"), issued_ms=2_000_000_000_000)
    with pytest.raises(NotSignedIn) as caught:
        users.complete(bearer)
    assert caught.value.why == "disabled"


def test_the_same_sub_of_two_issuers_is_two_people():
    assert external_subject("https://a", "u1") != external_subject("https://b", "u1")
    assert external_subject("https://a", "bu1") != external_subject("https://ab", "u1")


def test_a_bearer_token_gets_our_memberships_and_can_be_revoked(tables: Tables, clock: ManualClock):
    users, revocations = users_of(tables, clock)
    now_ms = clock.wall_ms()
    principal = Principal(
        subject="oidc:x", credential=bearer_credential("t"), issued_ms=now_ms, expires_s=now_ms / 1000 + 60
    )
    users.grant("oidc:x", "p1", "analyst")
    assert users.complete(principal).roles_in("p1") == {"analyst"}
    assert users.renew(principal, active=True).roles_in("p1") == {"analyst"}
    revocations.revoke_credential(bearer_credential("t"), until_ms=now_ms + 60_000)
    with pytest.raises(NotSignedIn) as caught:
        users.renew(principal, active=True)
    assert caught.value.why == "revoked"
    clock.advance(60)
    with pytest.raises(NotSignedIn) as caught:
        users.complete(principal)
    assert caught.value.why == "expired"


def test_revocations_that_ended_by_themselves_are_forgotten(tables: Tables, clock: ManualClock):
    revocations = Revocations(tables, clock)
    revocations.revoke_credential("a", until_ms=clock.wall_ms() + 1_000)
    clock.advance(2)
    revocations.revoke_credential("b")

    with tables.snapshot() as snapshot:
        assert [row["value"] for row in snapshot.select(REVOCATIONS)] == ["b"]


def test_the_tables_open_beside_those_of_other_rooms(tmp_path: Path, clock: ManualClock):

    open_at(str(tmp_path / "all.sqlite"), (*DECLARED, *SECURITY_TABLES), clock).close()
