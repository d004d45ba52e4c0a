"""All objects of a stack of labels."""

import dask.array as da
import numpy as np
import pytest
from tests.core.fill.test_gap import disc

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.fill.labels import FilledLabels, mask_of, places_of


def stack() -> np.ndarray:
    """Two objects on some of 11 planes: 3 on 0 and 5, 7 on 2, 4 and 10."""
    labels = np.zeros((11, 80, 100), np.uint16)
    for z, x in ((0, 20), (5, 45)):
        labels[z][disc(30, x, 8).to_plane()] = 3
    for z in (2, 4, 10):
        labels[z][disc(60, 70, 9).to_plane()] = 7
    return labels


def filled(labels, **options) -> np.ndarray:
    found = FilledLabels(labels, **options)
    return np.stack([found.plane(z) for z in range(len(labels))])


def test_each_object_is_filled_between_its_own_planes():
    before = stack()
    after = filled(before)
    assert np.flatnonzero((after == 3).any((1, 2))).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero((after == 7).any((1, 2))).tolist() == list(range(2, 11))
    assert (after[before > 0] == before[before > 0]).all()
    np.testing.assert_array_equal(after[3] == 7, disc(60, 70, 9).to_plane())


def test_lazy_labels_give_the_same():
    lazy = da.from_array(stack(), chunks=(1, 40, 40))
    np.testing.assert_array_equal(filled(lazy), filled(stack()))


def test_planes_in_any_order_give_the_same():
    found = FilledLabels(stack())
    backwards = [found.plane(z) for z in reversed(range(11))][::-1]
    np.testing.assert_array_equal(np.stack(backwards), filled(stack()))


def test_only_what_is_asked_for():
    after = filled(stack(), ids={7}, largest_gap=3)
    assert (after == 3).any((1, 2)).sum() == 2
    assert np.flatnonzero((after == 7).any((1, 2))).tolist() == [2, 3, 4, 10]
    assert FilledLabels(stack(), largest_gap=3).missing == {7: [3]}


def test_the_pixels_of_others_are_theirs():
    labels = stack()
    labels[1:5, 25:35, 30:40] = 9
    after = filled(labels, ids={3})
    assert (after[1:5, 25:35, 30:40] == 9).all()
    assert (after[2] == 3).any()


def test_negative_labels_are_background():
    labels = stack().astype(np.int32)
    labels[labels == 0] = -1
    after = filled(labels)
    assert set(np.unique(after)) == {-1, 3, 7}
    assert ((after > 0) == (filled(stack()) > 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ids": {4}}, "no object 4"), ({"largest_gap": 0}, "1 or more")],
    ids=["id", "gap"],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(PromptError, match=message):
        FilledLabels(stack(), **options)


def test_one_object_and_all_are_found_in_the_same_places():
    labels = stack()
    everything = places_of(labels)
    assert places_of(labels, {7}) == {7: everything[7]}
    assert mask_of(labels[2], 7, everything[7][2]).area == disc(60, 70, 9).area
