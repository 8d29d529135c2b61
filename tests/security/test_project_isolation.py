"""No sequence of calls gives the data of one project to a principal of another.

A model keeps, in plain sets, who was given what; the machine mixes grants, sign-ins, tickets, resume tokens, bearer
tokens, revocations and time in any order, and asks after each step what every credential that anybody holds can read.
"""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genescale.clock import ManualClock
from genescale.errors import Permanent
from genescale.security.policy import ACTIONS, decide
from genescale.security.principal import CLINICAL_CARE, Principal, external_subject
from genescale.security.tickets import BadResumeToken, BadTicket, ResumeTokens, Tickets
from genescale.security.tokens import IssuerKeys, TokenRules, Verifier
from genescale.security.users import NotSignedIn
from genescale.sensitive import Sensitive
from support.identity import AUDIENCE, ISSUER, RSA, Net, identity_tables, key_set, signed, users_of

PROJECTS = ("a", "b")
PEOPLE = ("ada", "bob")
ROLES = ("viewer", "analyst", "clinician", "project-admin")
PASSWORD = Sensitive("a sentence is fine")
SHOWS_DATA = [("read", "phi"), ("read", "de-identified"), ("download", "phi"), ("list", "phi"), ("open-sealed", "phi")]


class Isolation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.tables = identity_tables(Path(self.folder.name), self.clock)
        self.users, self.revocations = users_of(self.tables, self.clock)
        self.tickets = Tickets(self.tables, self.clock)
        self.resume = ResumeTokens([b"k" * 32], self.clock)
        keys = IssuerKeys("https://keys", Net({"https://keys": key_set(RSA)}).get, self.clock)
        self.verifier = Verifier(TokenRules(issuer=ISSUER, audience=AUDIENCE), keys, self.clock)
        self.subjects = {name: self.users.create(name, password=PASSWORD, purposes=[CLINICAL_CARE]) for name in PEOPLE}
        self.roles: set[tuple[str, str, str]] = set()
        self.sign_ins: list[tuple[str, Sensitive[str]]] = []
        self.bearers: list[tuple[str, str, Sensitive[str]]] = []  # name, project of the token, token
        self.revoked: set[str] = set()
        self.open_tickets: list[tuple[str, Sensitive[str]]] = []
        self.resumes: list[tuple[str, str, str]] = []

    def teardown(self) -> None:
        self.tables.close()
        self.folder.cleanup()

    @rule(name=st.sampled_from(PEOPLE), project=st.sampled_from(PROJECTS), role=st.sampled_from(ROLES))
    def grant(self, name: str, project: str, role: str) -> None:
        self.users.grant(self.subjects[name], project, role)
        self.roles.add((name, project, role))

    @rule(name=st.sampled_from(PEOPLE), project=st.sampled_from(PROJECTS), role=st.sampled_from(ROLES))
    def take_away(self, name: str, project: str, role: str) -> None:
        self.users.take_away(self.subjects[name], project, role)
        self.roles.discard((name, project, role))

    @rule(name=st.sampled_from(PEOPLE), link=st.booleans())
    def sign_in(self, name: str, link: bool) -> None:
        if link:
            signed_in = self.users.redeem_link(self.users.link(self.subjects[name]))
        else:
            signed_in = self.users.sign_in(name, PASSWORD)
        self.sign_ins.append((name, signed_in.token))

    @rule(name=st.sampled_from(PEOPLE), project=st.sampled_from((*PROJECTS, "*")), role=st.sampled_from(ROLES))
    def get_a_bearer_token(self, name: str, project: str, role: str) -> None:
        now_s = self.clock.wall_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now_s,
            "exp": now_s + 600,
            "genescale_roles": {project: [role]},
            "genescale_purposes": [CLINICAL_CARE],
            "jti": len(self.bearers),
        }
        token = signed({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims)
        self.bearers.append((name, project, Sensitive(token)))

    @rule(name=st.sampled_from(PEOPLE))
    def revoke(self, name: str) -> None:
        self.users.revoke(self.subjects[name])
        self.users.revoke(external_subject(ISSUER, name))
        self.sign_ins = [(who, token) for who, token in self.sign_ins if who != name or not self.is_dead(token)]
        self.revoked.update(token.reveal() for who, _, token in self.bearers if who == name)

    def is_dead(self, token: Sensitive[str]) -> bool:
        try:
            self.users.authenticate(token)
        except NotSignedIn:
            return True
        return False

    @rule(seconds=st.sampled_from([1, 29, 31, 700, 1_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(name=st.sampled_from(PEOPLE))
    def ask_for_a_ticket(self, name: str) -> None:
        self.open_tickets.append((name, self.tickets.issue(self.subjects[name], "https://o:443")))

    @rule(name=st.sampled_from(PEOPLE), data=st.data())
    def use_a_ticket(self, name: str, data: st.DataObject) -> None:
        if not self.open_tickets:
            return
        owner, ticket = self.open_tickets[data.draw(st.integers(0, len(self.open_tickets) - 1))]
        try:
            self.tickets.redeem(ticket, self.subjects[name], "https://o:443")
        except BadTicket:
            return
        assert owner == name
        self.open_tickets.remove((owner, ticket))

    @rule(name=st.sampled_from(PEOPLE), project=st.sampled_from(PROJECTS))
    def get_a_resume_token(self, name: str, project: str) -> None:
        token = self.resume.sign(session="s", subject=self.subjects[name], project=project, epoch="e")
        self.resumes.append((name, project, token))

    @rule(name=st.sampled_from(PEOPLE), data=st.data())
    def show_a_resume_token(self, name: str, data: st.DataObject) -> None:
        if not self.resumes:
            return
        owner, project, token = self.resumes[data.draw(st.integers(0, len(self.resumes) - 1))]
        try:
            said = self.resume.check(token, subject=self.subjects[name])
        except BadResumeToken:
            assert owner != name
            return
        assert (owner, project) == (name, said.project)

    @invariant()
    def nobody_reads_where_nothing_was_given(self) -> None:
        for name, token in self.sign_ins:
            try:
                principal = self.users.authenticate(token, active=False)
            except NotSignedIn:
                continue
            self.check(principal, {project for who, project, _ in self.roles if who == name})
        for _name, project, token in self.bearers:
            try:
                principal = self.users.complete(self.verifier.principal(token))
            except Permanent:
                continue
            assert token.reveal() not in self.revoked
            self.check(principal, {project} - {"*"})

    def check(self, principal: Principal, own: set[str]) -> None:
        for project in (*PROJECTS, "*", ""):
            readable: list[Any] = [
                (action, data_class)
                for action, data_class in [*SHOWS_DATA, *((action, "phi") for action in ACTIONS)]
                if decide(principal, action, project, data_class).allowed
            ]
            assert not readable or project in own


Isolation.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestIsolation = Isolation.TestCase
