from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellprompt.session.history import History, Moved, Step


def adding(state: list[Any], value: Any, **options: Any) -> Step:
    """A step that has put a value at the end of a list."""

    def undo() -> Moved:
        if not state or state[-1] != value:
            return Moved.LOST
        state.pop()
        return Moved.DONE

    def redo() -> Moved:
        state.append(value)
        return Moved.DONE

    return Step(f"Value {value}", undo, redo, **options)


def do(history: History, state: list[Any], value: Any, **options: Any) -> None:
    state.append(value)
    history.push(adding(state, value, **options))


@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=60))
def test_undo_of_everything_is_the_start_and_redo_the_end(actions: list[str]) -> None:
    history, state, number = History(), [], 0
    for action in actions:
        if action == "do":
            number += 1
            do(history, state, number)
        else:
            getattr(history, action)()
    end = list(state)
    while history.undo() is not None:
        pass
    assert state == []
    while history.next is not None and len(state) < len(end):
        history.redo()
    assert state == end


def test_what_is_done_anew_ends_what_could_be_redone() -> None:
    history, state = History(), []
    do(history, state, 1)
    history.undo()
    do(history, state, 2)
    assert history.next is None
    assert history.redo() is None and state == [2]


def test_steps_that_are_gone_are_passed_over() -> None:
    history, state = History(), []
    do(history, state, 1)
    history.push(Step("Gone", lambda: Moved.LOST, lambda: Moved.LOST))
    step, moved = history.undo() or pytest.fail("nothing was undone")
    assert (step.text, moved, state) == ("Value 1", Moved.DONE, [])


def test_a_step_stays_while_something_after_it_goes_back_first() -> None:
    history, answers = History(), [Moved.STAYS, Moved.DONE]
    history.push(Step("Object 1", lambda: answers.pop(0), lambda: Moved.DONE))
    assert history.undo()[1] is Moved.STAYS
    assert history.last is not None
    assert history.undo()[1] is Moved.DONE
    assert history.last is None


def test_old_steps_go_when_the_budget_is_spent() -> None:
    history, state = History(budget_bytes=100), []
    for number in range(5):
        do(history, state, number, nbytes=40)
    assert len(history) == 2 and history.nbytes <= 100
    do(history, state, 9, nbytes=1000)
    assert len(history) == 1, "the last step is kept whatever it holds"


def test_no_more_steps_than_the_limit() -> None:
    history, state = History(limit=3), []
    for number in range(10):
        do(history, state, number)
    assert len(history) == 3


def test_what_happens_while_a_step_moves_is_no_step() -> None:
    history = History()

    def undo() -> Moved:
        assert history.moving
        history.push(Step("An echo", lambda: Moved.DONE, lambda: Moved.DONE))
        return Moved.DONE

    history.push(Step("A click", undo, lambda: Moved.DONE))
    history.undo()
    assert len(history) == 0 and history.next is not None
    assert not history.moving


def test_the_steps_of_an_owner_are_dropped_together() -> None:
    history, state = History(), []
    do(history, state, 1)
    do(history, state, 2, owner="review")
    history.drop("review")
    assert history.last is not None and history.last.text == "Value 1"


def test_an_error_in_a_step_leaves_the_history_usable() -> None:
    history = History()

    def fail() -> Moved:
        raise RuntimeError("no")

    history.push(Step("Bad", fail, fail))
    with pytest.raises(RuntimeError):
        history.undo()
    assert not history.moving and len(history) == 1
