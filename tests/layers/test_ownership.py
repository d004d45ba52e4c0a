"""Which layers belong to which image."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.labels.accept import Acceptor
from napari_cellprompt.layers.labels.commit import widen
from napari_cellprompt.layers.ownership import ownership_of, plain

PIXELS = np.zeros((20, 30), np.uint8)


def two_images(viewer: Any) -> tuple[Any, Any]:
    return viewer.add_image(PIXELS, name="A"), viewer.add_image(PIXELS, name="B")


def test_a_viewer_has_one_owner(viewer) -> None:
    assert ownership_of(viewer) is ownership_of(viewer)
    assert ownership_of(viewer) is ownership_of(PublicOnlyProxy(viewer))
    assert ownership_of(ViewerModel()) is not ownership_of(viewer)


def test_owners_end_with_their_viewers(viewer) -> None:
    from napari_cellprompt.layers import ownership

    gc.collect()  # viewers of earlier tests
    before = len(ownership._known)
    other = ViewerModel()
    ownership_of(other)
    assert len(ownership._known) == before + 1
    del other
    gc.collect()
    assert len(ownership._known) == before


def test_images_of_one_shape_and_name_have_layers_of_their_own(viewer) -> None:
    owner = ownership_of(viewer)
    first, second = two_images(viewer)
    labels = viewer.add_labels(np.zeros((20, 30), np.uint16))
    owner.made(labels, first)
    owner.use(first, "labels", labels)
    second.name = "A copy"
    assert owner.serving(first, "labels") is labels
    assert owner.serving(second, "labels") is None
    assert owner.layers_of(first) == [labels] and owner.layers_of(second) == []
    assert owner.may_write(labels, first) and not owner.may_write(labels, second)
    owner.agree(labels, second)
    assert owner.may_write(labels, second)


def test_names_and_order_do_not_matter(viewer) -> None:
    owner = ownership_of(viewer)
    first, second = two_images(viewer)
    points = viewer.add_points(np.empty((0, 2)))
    owner.use(first, "points", points)
    first.name, second.name, points.name = "B", "A", "Cells"
    viewer.layers.move(0, 3)
    assert owner.serving(first, "points") is points
    assert owner.serving(second, "points") is None


def test_deleted_layers_are_not_handed_out_until_they_are_back(viewer) -> None:
    owner = ownership_of(viewer)
    first, _ = two_images(viewer)
    labels = viewer.add_labels(np.zeros((20, 30), np.uint16))
    owner.made(labels, first)
    owner.use(first, "labels", labels)
    viewer.layers.remove(labels)
    assert owner.serving(first, "labels") is None
    viewer.add_layer(labels)
    assert owner.serving(first, "labels") is labels
    viewer.layers.remove(first)
    viewer.add_layer(first)
    assert owner.serving(first, "labels") is labels


def test_a_new_image_in_the_place_of_a_deleted_one_owns_nothing(viewer) -> None:
    owner = ownership_of(viewer)
    first, _ = two_images(viewer)
    labels = viewer.add_labels(np.zeros((20, 30), np.uint16))
    owner.made(labels, first)
    owner.use(first, "labels", labels)
    viewer.layers.remove(first)
    again = viewer.add_image(PIXELS, name="A")
    assert owner.serving(again, "labels") is None
    assert not owner.may_write(labels, again)
    assert owner.is_made(labels) and owner.image_of(labels) is not again


def test_a_wider_layer_takes_the_place_of_the_old_one(viewer) -> None:
    owner = ownership_of(viewer)
    first, second = two_images(viewer)
    labels = viewer.add_labels(np.zeros((20, 30), np.uint16))
    owner.made(labels, first)
    owner.use(first, "labels", labels)
    owner.agree(labels, second)
    wide = widen(viewer, labels)
    owner.replaced(labels, wide)
    assert owner.serving(first, "labels") is wide
    assert owner.may_write(wide, first) and owner.may_write(wide, second)


@pytest.mark.parametrize("how", ["new layer", "widened"])
def test_what_the_acceptor_makes_belongs_to_its_image(viewer, how: str) -> None:
    first, second = two_images(viewer)
    acceptor = Acceptor(viewer)
    labels = acceptor.new_layer(first, plane_of(viewer, first))
    if how == "widened":
        labels, _ = acceptor.widen(labels)
    assert ownership_of(viewer).image_of(labels) is first
    assert not ownership_of(viewer).may_write(labels, second)


def test_wrapped_layers_are_the_layers_they_wrap(viewer) -> None:
    wrapped: Any = PublicOnlyProxy(viewer)
    owner = ownership_of(wrapped)
    image = wrapped.add_image(PIXELS)
    labels = wrapped.add_labels(np.zeros((20, 30), np.uint16))
    owner.made(labels, image)
    owner.use(image, "labels", labels)
    assert owner.serving(plain(image), "labels") is plain(labels)
