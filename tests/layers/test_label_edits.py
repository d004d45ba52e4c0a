from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_cellprompt.layers.labels import edits
from napari_cellprompt.layers.labels.accept import Acceptor
from napari_cellprompt.layers.labels.commit import LabelsError
from napari_cellprompt.layers.labels.deltas import LabelDelta, find_voxels
from napari_cellprompt.layers.labels.splitting import by_clicks, by_line, voxels_of
from napari_cellprompt.layers.labels.survey import apply_differences, differences, survey
from napari_cellprompt.session.history import History, Moved
from napari_cellprompt.session.objects import ObjectRecord


class Bench:
    """A Labels layer with a ledger and a history."""

    def __init__(self, data: np.ndarray) -> None:
        self.viewer = ViewerModel()
        self.labels = Labels(data.copy(), name="Objects")
        self.viewer.add_layer(self.labels)
        self.acceptor = Acceptor(self.viewer)
        self.history = History()
        self.lost: dict[int, ObjectRecord] = {}
        self.look()

    def look(self) -> None:
        seen = survey(self.labels.data)
        assert seen is not None
        apply_differences(self.store, differences(self.store, seen, self.lost), self.lost)

    @property
    def store(self):
        return self.acceptor.store(self.labels)

    @property
    def ids(self) -> set[int]:
        return {record.id for record in self.store}

    def do(self, edit: edits.LabelEdit) -> edits.LabelEdit:
        self.history.push(edit.step())
        return edit


def blocks(seed: int = 0, dtype: str = "uint16") -> np.ndarray:
    """Twelve blocks of three planes with gaps between them."""
    data = np.zeros((4, 24, 32), dtype=dtype)
    for number in range(12):
        row, column = divmod(number, 4)
        data[:3, 8 * row : 8 * row + 6, 8 * column : 8 * column + 7] = number + 1
    return data


@pytest.fixture
def bench() -> Bench:
    return Bench(blocks())


def test_delta_packs_runs_and_gives_them_back() -> None:
    flat = np.array([3, 4, 5, 9, 10, 20])
    before, after = np.array([1, 1, 2, 2, 2, 7]), np.array([5, 5, 5, 5, 6, 0])
    delta = LabelDelta.of((5, 5), flat, before, after)
    assert delta.flat().tolist() == flat.tolist()
    assert delta.values(after=False).tolist() == before.tolist()
    assert delta.values(after=True).tolist() == after.tolist()
    assert len(delta.starts) == 5
    empty = LabelDelta.of((5, 5), flat[:0], 0, 0)
    assert (empty.size, empty.flat().size) == (0, 0)


def test_delta_of_a_large_object_is_small() -> None:
    flat = np.flatnonzero(np.ones((50, 400, 400), dtype=bool))
    delta = LabelDelta.of((50, 400, 400), flat, 3, 0)
    assert delta.nbytes < 100
    assert delta.size == flat.size


def test_voxels_are_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    data = blocks()
    monkeypatch.setattr("napari_cellprompt.layers.labels.deltas._CHUNK", 100)
    flat, values = find_voxels(data, [3, 7])
    assert np.array_equal(flat, np.flatnonzero(np.isin(data, [3, 7])))
    assert np.array_equal(values, data.reshape(-1)[flat])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_survey_counts_every_object(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_cellprompt.layers.labels.survey._PIECE", 64)
    data = blocks(dtype=dtype)
    if dtype == "uint32":
        data[data == 12] = 4_000_000_000
    if dtype == "int32":
        data[3] = -1
    seen = survey(data)
    assert seen is not None
    assert set(seen.objects) == set(np.unique(data[data > 0]).tolist())
    for object_id, planes in seen.objects.items():
        assert [plane.key.index for plane in planes] == [(0,), (1,), (2,)]
        for plane in planes:
            there = data[plane.key.index] == object_id
            assert plane.area == there.sum()
            x0, y0, x1, y1 = plane.box
            assert there[y0:y1, x0:x1].sum() == there.sum()
            assert there[y0:y1, x0:x1].any(axis=0).all()


def test_survey_stops_when_nobody_wants_it() -> None:
    assert survey(blocks(), cancelled=lambda: True) is None


def test_foreign_objects_enter_the_ledger_and_keep_what_is_said_of_them(bench) -> None:
    assert bench.ids == set(range(1, 13))
    record = bench.store.get(4)
    assert record.source == "foreign"
    bench.store.amend({4: replace(record, class_name="nucleus")})
    bench.labels.data[bench.labels.data == 4] = 0
    bench.labels.data[3, 0:2, 0:2] = 40
    bench.look()
    assert bench.ids == {*range(1, 13), 40} - {4}
    assert bench.store.next_id() == 41, "ids stay right after foreign edits"
    bench.labels.data[:] = blocks()
    bench.look()
    assert bench.store.get(4).class_name == "nucleus", "what comes back is known again"


def test_a_verified_object_that_is_painted_over_has_to_be_looked_at_again(bench) -> None:
    bench.store.amend({2: replace(bench.store.get(2), state="verified")})
    bench.look()
    assert bench.store.get(2).state == "verified"
    bench.labels.data[0, 0, 8:10] = 0
    bench.look()
    assert bench.store.get(2).state == "accepted"


def test_delete_is_background_and_comes_back(bench) -> None:
    before = bench.store.get(5)
    bench.do(edits.delete(bench.acceptor, bench.labels, [5, 6]))
    assert not np.isin(bench.labels.data, [5, 6]).any()
    assert bench.ids == set(range(1, 13)) - {5, 6}
    bench.history.undo()
    assert np.array_equal(bench.labels.data, blocks())
    assert bench.store.get(5) is before
    bench.history.redo()
    assert not np.isin(bench.labels.data, [5, 6]).any()
    assert bench.store.next_id() == 13, "a number is not handed out twice"


def test_merge_keeps_the_first_and_adds_the_planes(bench) -> None:
    daughter = replace(bench.store.get(9), parent=2)
    bench.store.amend({9: daughter})
    bench.do(edits.merge(bench.acceptor, bench.labels, [1, 2]))
    assert bench.store.get(1).area == 2 * 3 * 42
    assert bench.store.get(1).planes[0].box == (0, 0, 15, 6)
    assert bench.store.get(9).parent == 1
    bench.look()
    assert bench.store.get(1).area == 2 * 3 * 42, "the layer says what the ledger says"
    bench.history.undo()
    assert np.array_equal(bench.labels.data, blocks())
    assert bench.store.get(9).parent == 2
    with pytest.raises(LabelsError, match="two or more"):
        edits.merge(bench.acceptor, bench.labels, [1, 1])


def test_renumber_needs_a_free_number(bench) -> None:
    with pytest.raises(LabelsError, match="an object 3 already"):
        edits.renumber(bench.acceptor, bench.labels, 2, 3)
    with pytest.raises(LabelsError, match="cannot hold"):
        edits.renumber(bench.acceptor, bench.labels, 2, 70000)
    bench.do(edits.renumber(bench.acceptor, bench.labels, 2, 77))
    assert (bench.labels.data == 77).sum() == 126
    assert bench.ids == {*range(1, 13), 77} - {2}
    bench.history.undo()
    assert np.array_equal(bench.labels.data, blocks())


def test_split_by_clicks_and_by_line() -> None:
    data = np.zeros((5, 30, 60), dtype=np.uint16)
    rows, columns = np.mgrid[:30, :60]
    pair = ((rows - 15) ** 2 + (columns - 18) ** 2 < 121) | (
        (rows - 15) ** 2 + (columns - 38) ** 2 < 144
    )
    data[:, pair] = 3
    bench = Bench(data)
    whole = voxels_of(bench.labels.data, 3)
    parts = by_clicks(whole, [(2, 15, 14), (2, 15, 42)], (1, 1, 1))
    bench.do(edits.split(bench.acceptor, bench.labels, 3, whole.flat, parts))
    assert bench.ids == {3, 4}
    left, right = bench.labels.data[0, 15, 12], bench.labels.data[4, 15, 44]
    assert {int(left), int(right)} == {3, 4}
    assert int(right) == 3, "the larger part keeps the number"
    areas = [(bench.labels.data == number).sum() for number in (3, 4)]
    assert sum(areas) == (data > 0).sum()
    bench.history.undo()
    assert np.array_equal(bench.labels.data, data)
    whole = voxels_of(bench.labels.data, 3)
    parts = by_line(whole, [(1, 0, 28), (1, 29, 28)], (1, 2), (1, 1, 1))
    bench.do(edits.split(bench.acceptor, bench.labels, 3, whole.flat, parts))
    there = bench.labels.data[4]
    assert len(np.unique(there[:, :26][pair[:, :26]])) == 1
    assert len(np.unique(there[:, 32:][pair[:, 32:]])) == 1
    assert there[15, 12] != there[15, 44]
    with pytest.raises(LabelsError, match="one piece"):
        by_line(whole, [(1, 0, 2), (1, 29, 2)], (1, 2), (1, 1, 1))
    with pytest.raises(LabelsError, match="two or more"):
        by_clicks(whole, [(1, 15, 18), (1, 15, 18)], (1, 1, 1))


def test_split_of_an_object_that_was_changed_meanwhile_is_refused(bench) -> None:
    whole = voxels_of(bench.labels.data, 1)
    parts = by_clicks(whole, [(0, 0, 0), (0, 5, 6)], (1, 1, 1))
    bench.labels.data[0, 0, 0] = 0
    with pytest.raises(LabelsError, match="changed meanwhile"):
        edits.split(bench.acceptor, bench.labels, 1, whole.flat, parts)


def test_what_others_changed_since_is_not_overwritten(bench) -> None:
    told: list[str] = []
    edit = bench.do(edits.merge(bench.acceptor, bench.labels, [1, 2]))
    edit.tell = told.append
    bench.labels.data[0, 0, 8:10] = 50  # another plugin, past napari's history
    bench.history.undo()
    assert (bench.labels.data[0, 0, 8:10] == 50).all()
    expected = blocks()
    expected[0, 0, 8:10] = 50
    assert np.array_equal(bench.labels.data, expected)
    assert edit.kept == 2
    assert "2 pixels" in told[0]


def test_a_stroke_that_came_later_goes_back_first(bench) -> None:
    bench.do(edits.delete(bench.acceptor, bench.labels, [5]))
    bench.labels.data_setitem((np.array([3]), np.array([20]), np.array([20])), 9)
    moved = bench.history.undo()
    assert moved is not None
    assert moved[1] is Moved.STAYS
    assert bench.labels.data[3, 20, 20] == 0
    moved = bench.history.undo()
    assert moved is not None
    assert moved[1] is Moved.DONE
    assert np.array_equal(bench.labels.data, blocks())


def test_a_step_that_napari_has_forgotten_is_undone_all_the_same(bench) -> None:
    bench.do(edits.delete(bench.acceptor, bench.labels, [5]))
    data = bench.labels.data
    bench.labels.data = data  # napari forgets its history with the assignment
    bench.history.undo()
    assert np.array_equal(bench.labels.data, blocks())
    bench.history.redo()
    assert not (bench.labels.data == 5).any()


def test_undo_in_the_layer_itself_is_followed(bench) -> None:
    bench.do(edits.merge(bench.acceptor, bench.labels, [1, 2, 3]))
    bench.labels.undo()
    bench.acceptor.sync(bench.labels)
    assert bench.ids == set(range(1, 13))
    assert bench.history.undo() is None, "there is nothing left to take back"


def test_a_layer_that_is_locked_or_gone_is_left_alone(bench) -> None:
    bench.do(edits.delete(bench.acceptor, bench.labels, [5]))
    bench.viewer.layers.remove(bench.labels)
    assert bench.history.undo() is None
    bench.viewer.add_layer(bench.labels)
    bench.labels.locked = True
    with pytest.raises(LabelsError, match="locked"):
        edits.delete(bench.acceptor, bench.labels, [6])


@pytest.mark.parametrize("seed", range(12))
def test_undo_of_everything_is_the_start_and_redo_the_end(seed: int) -> None:
    generator = np.random.default_rng(seed)
    bench = Bench(blocks())
    start = {record.id: record for record in bench.store}
    done = 0
    for _ in range(25):
        ids = sorted(bench.ids)
        action = generator.choice(["merge", "delete", "renumber", "split", "undo", "redo"])
        picks = [int(i) for i in generator.choice(ids, min(3, len(ids)), replace=False)]
        acceptor, labels = bench.acceptor, bench.labels
        try:
            if action == "merge":
                edit = edits.merge(acceptor, labels, picks[:2])
            elif action == "delete" and len(ids) > 4:
                edit = edits.delete(acceptor, labels, picks[:1])
            elif action == "renumber":
                edit = edits.renumber(acceptor, labels, picks[0], bench.store.next_id())
            elif action == "split":
                whole = voxels_of(labels.data, picks[0])
                inside = np.argwhere(whole.mask)
                clicks = generator.choice(inside, 2, replace=False) + whole.origin
                parts = by_clicks(whole, clicks, (2, 1, 1))
                edit = edits.split(acceptor, labels, picks[0], whole.flat, parts)
            elif action == "undo":
                bench.history.undo()
                continue
            else:
                bench.history.redo()
                continue
        except LabelsError:
            continue
        bench.do(edit)
        done += 1
        assert bench.ids == set(np.unique(labels.data)) - {0}
    assert done > 5
    end, records = bench.labels.data.copy(), set(bench.store)
    count = len(bench.history)
    while bench.history.undo() is not None:
        pass
    assert np.array_equal(bench.labels.data, blocks())
    assert {record.id: record for record in bench.store} == start
    for _ in range(count):
        assert bench.history.redo() is not None
    assert np.array_equal(bench.labels.data, end)
    assert set(bench.store) == records
    bench.look()
    assert {(r.id, r.area) for r in bench.store} == {(r.id, r.area) for r in records}
