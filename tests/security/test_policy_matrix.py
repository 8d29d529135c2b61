"""Every role, action, class of data and project, against a table that was written down a second time, by hand.

The grid below repeats section 5 of the security reference in its own words, and knows nothing of `policy.TABLE`.
"""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.security import policy
from genescale.security.policy import ACTIONS, DATA_CLASSES, POLICY, decide
from genescale.security.principal import CLINICAL_CARE, ROLES, Principal

COLUMNS = ("viewer", "analyst", "clinician", "project-admin", "auditor", "platform-admin", "service")
#   -  never    y  in the project    P  with a purpose    M  with a second factor    L  lab director
#   S  service with this scope    W  platform-wide with a second factor    w  platform-wide with this scope
GRID = """
read phi              - - P - - - S
read de-identified    y y y y - - S
read public           y y y y y y S
download phi          - - P - - - S
download de-identified y y y y - - S
download public       y y y y y y S
read-phi *            - - P - - - S
open-sealed *         - - P - - - S
list *                y y y y - - S
submit *              - y y y - - S
submit-urgent *       - y y y - - S
generate *            - y y y - - S
upload *              - y y y - - S
cancel *              - y y y - - S
sign-off *            - - L - - - -
export *              - - - M - - -
erase *               - - - M - - -
manage-members *      - - - y - - -
manage-quotas *       - - - y - - -
manage-consent *      - - - y - - -
read-audit *          - - - y y - -
verify-audit *        - - - y y - -
subscribe-metrics *   y y y y y y S
subscribe-cost *      y y y y - y S
subscribe-operations * - - - y - y S
rotate-keys *         - - - - - W -
deploy *              - - - - - W -
pause-healing *       - - - - - W -
approve-healing *     - - - - - w -
break-glass *         - - - - - - -
"""
WRITTEN = {
    (action, data_class, role): cell
    for action, wanted, *cells in map(str.split, GRID.strip().splitlines())
    for data_class in (("phi", "de-identified", "public") if wanted == "*" else (wanted,))
    for role, cell in zip(COLUMNS, cells, strict=True)
}
WHOLE_PLATFORM = {"auditor", "platform-admin", "service"}
GIVEN_FOR = ("a", "b", "*", "nothing")  # what the role was given for
ASKED = ("a", "*", "")  # what the question is about: a project, the whole platform, a mistake
TRAITS = tuple(itertools.product((False, True), repeat=4))  # purpose, second factor, director, scope


def expected(cell: str, role: str, given_for: str, asked: str, traits: tuple[bool, bool, bool, bool]) -> bool:
    everywhere = given_for == "*" and role in WHOLE_PLATFORM
    if cell == "-" or not (given_for == asked == "a" or everywhere):
        return False
    purpose, strong, director, scope = traits
    return {
        "y": True,
        "P": purpose,
        "M": strong,
        "L": director,
        "S": scope,
        "W": everywhere and strong,
        "w": everywhere and scope,
    }[cell]


def asked_by(role: str, given_for: str, traits: tuple[bool, bool, bool, bool], action: str) -> Principal:
    purpose, strong, director, scope = traits
    return Principal(
        subject="somebody",
        roles={} if given_for == "nothing" else {given_for: frozenset({role})},
        purposes=frozenset({CLINICAL_CARE}) if purpose else frozenset({"marketing"}),
        strong=strong,
        lab_director=director,
        scopes=frozenset({action}) if scope else frozenset({"something-else"}),
    )


def test_every_cell_of_the_matrix_is_what_was_written_down_by_hand():
    cells = 0
    for (action, data_class, role), cell in WRITTEN.items():
        for given_for, asked, traits in itertools.product(GIVEN_FOR, ASKED, TRAITS):
            decision = decide(asked_by(role, given_for, traits, action), action, asked, data_class)
            where = (action, data_class, role, given_for, asked, traits)
            assert decision.allowed is expected(cell, role, given_for, asked, traits), where
            if given_for in ("b", "nothing") or (given_for == "*" and role not in WHOLE_PLATFORM):
                assert not decision.known, where
            cells += 1
    assert cells >= 100_000


def test_the_two_tables_know_the_same_actions_roles_and_classes():
    assert {action for action, _, _ in WRITTEN} - {"break-glass"} == ACTIONS
    assert set(COLUMNS) == ROLES
    assert {data_class for _, data_class, _ in WRITTEN} == set(DATA_CLASSES)


@pytest.mark.parametrize("role", ["auditor", "platform-admin"])
@pytest.mark.parametrize("action", ["read", "read-phi", "open-sealed", "download"])
def test_auditor_and_platform_admin_never_read_phi_whatever_they_can_prove(role: str, action: str):
    everything = Principal(
        subject="x",
        roles={"a": frozenset({role}), "*": frozenset({role})},
        purposes=frozenset({CLINICAL_CARE}),
        scopes=ACTIONS,
        strong=True,
        lab_director=True,
    )
    assert not decide(everything, action, "a", "phi").allowed


def test_a_project_role_for_all_projects_is_worth_nothing():
    careless = Principal(subject="x", roles={"*": frozenset({"clinician", "project-admin"})})
    assert not careless.roles_in("a")
    assert not decide(careless, "list", "a").known


@pytest.mark.parametrize("project", ["", "*"])
def test_no_project_and_all_projects_are_no_project_of_anybody(project: str):
    who = Principal(subject="x", roles={"": frozenset({"analyst"}), "*": frozenset({"analyst"})})
    assert not decide(who, "list", project).allowed


def test_what_nobody_declared_is_refused():
    who = Principal(subject="x", roles={"a": frozenset(ROLES)}, strong=True, scopes=ACTIONS)
    assert decide(who, "read-everything", "a").reason == "unknown action"
    assert decide(who, "read", "a", "secret").reason == "unknown class of data"


def test_without_a_class_the_data_is_taken_for_phi():
    analyst = Principal(subject="x", roles={"a": frozenset({"analyst"})})
    assert not decide(analyst, "read", "a").allowed
    assert decide(analyst, "read", "a", "de-identified").allowed


def test_a_refusal_says_what_is_missing_and_names_nobody():
    who = Principal(subject="dr-secret", name="Dr Secret", roles={"a": frozenset({"clinician"})})
    decision = decide(who, "read", "a")
    assert decision.reason == "clinician needs: a purpose of use"
    assert "ecret" not in repr(decision) + repr(who)


def test_the_digest_belongs_to_the_table(monkeypatch: pytest.MonkeyPatch):
    assert policy.policy_hash() == POLICY == decide(Principal(subject="x"), "read", "a").policy
    monkeypatch.setattr(policy, "CARE_AND_RESEARCH", frozenset({CLINICAL_CARE}))
    assert policy.policy_hash() != POLICY


def test_a_table_that_lets_an_auditor_read_phi_does_not_load(monkeypatch: pytest.MonkeyPatch):
    bad = {**policy.TABLE, "read-phi": {"phi": {"auditor": ("here",)}}}
    monkeypatch.setattr(policy, "TABLE", bad)
    with pytest.raises(ValueError, match="auditor"):
        policy._check()


PROJECTS = st.sampled_from(["a", "b", "c", "*", "", "A", "a ", "b*"])
ROLE_SETS = st.frozensets(st.sampled_from([*sorted(ROLES), "root", "*"]))


@given(
    roles=st.dictionaries(PROJECTS, ROLE_SETS),
    action=st.sampled_from([*sorted(ACTIONS), "", "*"]),
    project=PROJECTS,
    data_class=st.sampled_from([*DATA_CLASSES, "", "*"]),
    strong=st.booleans(),
)
def test_nobody_acts_in_a_project_without_a_role_that_counts_there(
    roles: dict[str, frozenset[str]], action: str, project: str, data_class: str, strong: bool
):
    who = Principal(
        subject="x",
        roles=roles,
        strong=strong,
        scopes=ACTIONS,
        lab_director=True,
        purposes=frozenset({CLINICAL_CARE}),
    )
    own = roles.get(project, frozenset()) if project not in ("", "*") else frozenset()
    counting = (own | (roles.get("*", frozenset()) & WHOLE_PLATFORM)) & ROLES
    decision = decide(who, action, project, data_class)
    if not counting:
        assert not decision.allowed
        assert not decision.known
    if decision.allowed:
        assert decision.reason in counting
