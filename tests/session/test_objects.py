from __future__ import annotations

import pytest

from napari_cellprompt.core.types import PlaneKey, Prompts
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord, ObjectStore

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
    assert (change.id, change.before) == (2, None)
    assert [entry.id for entry in store] == [1]
    assert store.undone == change
    redone = store.redo()
    assert redone is not None
    assert redone.after == record(2)
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
