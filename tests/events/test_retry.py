"""Back-off with full jitter, bounded tries, bounded age, and the budget."""

import random

from hypothesis import given
from hypothesis import strategies as st

from genescale.events.retry import RetryBudget, RetryPolicy


@given(st.integers(1, 100), st.integers())
def test_a_delay_lies_between_nothing_and_the_ceiling(attempt: int, seed: int) -> None:
    policy = RetryPolicy(base_s=0.2, cap_s=60.0)
    delay_s = policy.delay_s(attempt, None, random.Random(seed))
    assert 0.0 <= delay_s <= min(60.0, 0.2 * 2.0 ** (attempt - 1))


@given(st.floats(0, 1e4), st.integers())
def test_what_the_failure_asks_for_is_the_least(after_s: float, seed: int) -> None:
    assert RetryPolicy().delay_s(1, after_s, random.Random(seed)) >= after_s


def test_failures_that_came_together_do_not_come_back_together() -> None:
    draws = [RetryPolicy(base_s=10.0).delay_s(1, None, random.Random(seed)) for seed in range(100)]
    assert max(draws) - min(draws) > 5.0


def test_tries_and_age_are_both_bounded() -> None:
    policy = RetryPolicy(attempts_max=6, age_max_s=3600)
    assert not policy.exhausted(5, 3599)
    assert policy.exhausted(6, 0)
    assert policy.exhausted(1, 3600)


@given(st.lists(st.one_of(st.integers(0, 500), st.none()), max_size=60))
def test_retries_never_exceed_the_floor_and_the_share(actions: list[int | None]) -> None:
    """An integer is a batch of new events, None asks for one retry."""
    policy = RetryPolicy(budget_ratio=0.1, budget_least=10.0)
    budget = RetryBudget(policy)
    earned, spent = 0, 0
    for action in actions:
        if action is None:
            spent += budget.spend()
        else:
            budget.earn(action)
            earned += action
    assert spent <= policy.budget_least + earned * policy.budget_ratio


def test_a_quiet_lane_earns_its_retries_back_with_time() -> None:
    budget = RetryBudget(RetryPolicy(budget_least=10.0))
    while budget.spend():
        pass
    budget.refill(1.0)
    assert budget.spend()
