from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from napari_cellprompt.core.types import PlaneKey, Prompts
from napari_cellprompt.session.objects import (
    ObjectClass,
    ObjectPlane,
    ObjectRecord,
    ObjectStore,
    PlaneDecision,
    PropagationRecord,
)

KEY = PlaneKey("image", (0,), (1, 2), None, None)


def record(
    object_id: int, score: float = 0.9, box: tuple[int, int, int, int] = (0, 0, 4, 6)
) -> ObjectRecord:
    prompts = Prompts(points=((1.0, 2.0),), labels=(1,))
    return ObjectRecord(object_id, (ObjectPlane(KEY, prompts, score, 20, box),))


def test_ids_follow_layer_and_session_and_are_never_reused() -> None:
    store = ObjectStore()
    assert store.next_id(0) == 1
    assert store.next_id(10) == 11
    store.put(record(11))
    store.undo()
    assert store.next_id(3) == 12


def test_put_counts_foreign_ids_as_handed_out() -> None:
    store = ObjectStore()
    store.put(record(40))
    assert store.next_id(2) == 41


def test_undo_and_redo() -> None:
    store = ObjectStore()
    store.put(record(1))
    store.put(record(2))
    change = store.undo()
    assert change is not None
    assert [(item.id, item.before) for item in change.changes] == [(2, None)]
    assert [entry.id for entry in store] == [1]
    assert store.undone is change
    redone = store.redo()
    assert redone is not None
    assert redone.changes[0].after == record(2)
    assert 2 in store
    assert store.last == record(2)


def test_replacing_an_object_can_be_undone() -> None:
    store = ObjectStore()
    store.put(record(1, score=0.5))
    store.put(record(1, score=0.8))
    assert len(store) == 1
    store.undo()
    assert store.get(1) == record(1, score=0.5)


def test_remove_can_be_undone() -> None:
    store = ObjectStore()
    store.put(record(1))
    store.remove(1)
    assert store.get(1) is None
    store.undo()
    assert store.get(1) == record(1)
    with pytest.raises(KeyError):
        store.remove(5)


def test_a_new_change_ends_redo() -> None:
    store = ObjectStore()
    store.put(record(1))
    store.undo()
    store.put(record(2))
    assert store.undone is None
    assert store.redo() is None


def test_nothing_to_undo() -> None:
    store = ObjectStore()
    assert store.undo() is None
    assert store.done is None
    assert store.last is None


def test_history_is_bounded() -> None:
    store = ObjectStore(limit=3)
    for object_id in range(1, 7):
        store.put(record(object_id))
    undone = 0
    while store.undo() is not None:
        undone += 1
    assert undone == 3
    assert [entry.id for entry in store] == [1, 2, 3]


@pytest.mark.parametrize(
    ("box", "size"),
    [
        pytest.param((0, 0, 4, 6), 6.0, id="tall"),
        pytest.param((2, 2, 12, 6), 10.0, id="wide"),
    ],
)
def test_size_is_the_longest_side(box: tuple[int, int, int, int], size: float) -> None:
    assert record(1, box=box).size == size


def test_several_objects_change_as_one_step() -> None:
    store = ObjectStore()
    store.put(record(1))
    store.put(record(2))
    told: list[tuple[int, ...]] = []
    store.changed.connect(told.append)
    store.revise({1: record(1, score=0.1), 2: None, 3: record(3)})
    assert [entry.id for entry in store] == [1, 3]
    store.undo()
    assert {entry.id for entry in store} == {1, 2}
    assert store.get(1) == record(1)
    assert told == [(1, 2, 3), (1, 2, 3)]


def test_amending_is_no_step_and_keeps_what_was_undone() -> None:
    store = ObjectStore()
    store.put(record(1))
    store.put(record(2))
    store.undo()
    store.amend({1: replace(record(1), state="verified")})
    assert store.redo() is not None
    changed = store.get(1)
    assert changed is not None
    assert changed.state == "verified"


def test_records_survive_pickling_and_a_restored_store_hands_out_new_ids() -> None:
    prompts = Prompts(points=((1.0, 2.0),), labels=(1,))
    followed = PropagationRecord(
        axis=0,
        decisions=(
            PlaneDecision(3, "prompted", prompts, prompts),
            PlaneDecision(5, "absent"),
        ),
        ends=(7,),
        together=(4, 5),
    )
    full = replace(record(4), class_name="nucleus", state="verified", propagation=followed)
    copy = pickle.loads(pickle.dumps(full))
    assert copy == full
    store = ObjectStore()
    store.restore([copy], [ObjectClass(1, "nucleus", "#0072b2")], highest=9)
    assert store.next_id(2) == 10
    assert store.classes[0].name == "nucleus"
    assert store.undo() is None


def test_trust_is_the_mean_of_what_is_known() -> None:
    plane = record(1).planes[0]
    planes = (replace(plane, trust=0.5), replace(plane, trust=1.0), plane)
    assert ObjectRecord(1, planes).trust == pytest.approx(0.75)
    assert ObjectRecord(1, (plane,)).trust is None
    assert ObjectRecord(1, planes).area == 60
