"""--strategy: frozen and moving ones, spelling, and why one cannot serve."""

from __future__ import annotations

import pytest

from headstart import registry
from headstart.errors import OptionError
from headstart.plan.strategies import GROUP, asked_for, tunable

from .conftest import CHOICE, Fake


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, make_case):
    """Only these strategies are registered."""
    case = make_case()
    made = {
        "last-stages": Fake(case.hidden, name="last-stages"),
        "scratch": Fake(case.hidden, name="scratch"),
        "sad": Fake(case.hidden, name="sad", refuses="it has no weights {here}"),
        "sorry": Fake(case.hidden, name="sorry", refuses="it has no weights {here}"),
    }
    monkeypatch.setattr(registry, "names", lambda group: tuple(sorted(made)) if group == GROUP else ())
    get = registry.get
    monkeypatch.setattr(registry, "get", lambda group, name: made[name] if group == GROUP else get(group, name))
    return case


def test_frozen_heads_are_the_floor_of_what_moves(registered):
    asked = asked_for(["last-stages"], "binary")
    assert asked.tuned == ("last-stages",)
    assert asked.heads == asked_for([], "binary").heads
    assert not asked.only_frozen
    both = asked_for(["frozen-ridge", "last-stages"], "binary")
    assert (both.heads, both.tuned) == (("ridge",), ("last-stages",))
    assert asked_for(["frozen"], "binary").only_frozen


@pytest.mark.parametrize(("wrong", "right"), [("last-stage", "last-stages"), ("frozn-ridge", "frozen-ridge")])
def test_a_misspelt_strategy_is_corrected(registered, wrong, right):
    with pytest.raises(OptionError, match=f"moving weights, last-stages.*did you mean '{right}'"):
        asked_for([wrong], "binary")


def test_scratch_is_only_tried_when_asked_for(registered):
    case = registered
    found = tunable((), [(case.job, CHOICE)])
    assert [one.strategy for one in found.candidates] == ["last-stages"]
    (scratch,) = tunable(("scratch",), [(case.job, CHOICE)]).candidates
    assert (scratch.source, scratch.strategy, scratch.transfer) == ("none", "scratch-made", False)
    assert scratch.words == "made from scratch"


def test_what_cannot_serve_is_said_once_for_all_that_share_the_reason(registered):
    found = tunable((), [(registered.job, CHOICE)])
    assert found.reasons == ("made: sad, sorry not tried: it has no weights {here}",)


def test_a_plug_in_that_breaks_is_said_and_the_others_go_on(registered, monkeypatch):
    """Broken where it is asked whether it can serve, or already where its module is imported."""

    def mistake(job):
        raise KeyError("no\nsuch key")

    get = registry.get

    def broken(group, name):
        if name == "scratch":
            raise ImportError("cannot import name 'X'")
        found = get(group, name)
        if name == "sad":
            found.reason_not = mistake
        return found

    monkeypatch.setattr(registry, "get", broken)
    found = tunable(("sad", "scratch", "last-stages"), [(registered.job, CHOICE)])
    assert [one.strategy for one in found.candidates] == ["last-stages"]
    assert found.reasons == (
        "made: sad not tried: internal error: KeyError: 'no\\nsuch key' (please report)",
        "made: scratch not tried: internal error: ImportError: cannot import name 'X' (please report)",
    )


def test_a_candidate_tells_its_costs(registered):
    case = registered
    (tuned,) = tunable(("last-stages",), [(case.job, CHOICE)]).candidates
    assert (tuned.source, tuned.label, tuned.strategy, tuned.moves) == ("made", "made", "last-stages", True)
    assert tuned.cost == 2.0
    assert tuned.estimated_seconds(case.problem) == pytest.approx(0.4)
    assert tuned.estimated_bytes(case.problem) == 32_000_000
    assert tuned.words == "made"
