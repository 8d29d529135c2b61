"""The row `lookup_rate`: small, and right before it is fast."""

import pytest

from genescale.clock import ManualClock
from genescale.genomics.knowledge import Knowledge
from genescale.trials.fact_lookup import lookup_rate


def test_the_row_counts_answers_that_are_right():
    row = lookup_rate(3, ManualClock(), facts=4_000, runs=1)
    assert row.name == "lookup_rate"
    assert row.value is not None
    assert row.value > 0


def test_a_wrong_answer_leaves_the_row_empty(monkeypatch: pytest.MonkeyPatch):
    right = Knowledge.lookup

    def wrong(self: Knowledge, variants: object) -> object:
        found = right(self, variants)  # type: ignore[arg-type]
        found["made_up"][0] = -1
        return found

    monkeypatch.setattr(Knowledge, "lookup", wrong)
    row = lookup_rate(3, ManualClock(), facts=4_000, runs=1)
    assert row.value is None
    assert "answers were wrong" in row.note
