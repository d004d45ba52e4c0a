"""Which layers of a viewer belong to which of its images.

Layers are known by what they are, never by name, shape or place in the list: a layer that
was renamed, moved, or taken out and put back belongs where it did. What is gone for good
is forgotten, since nothing here keeps a layer alive.
"""

from __future__ import annotations

import weakref
from inspect import unwrap
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

__all__ = ["Ownership", "Role", "ownership_of", "plain"]

Role = Literal["points", "boxes", "labels"]
"""What a layer is for: clicks, boxes, accepted objects."""

T = TypeVar("T")


def plain(wrapped: T) -> T:
    """A viewer, layer or widget without the wrapping in which napari hands it to plugins.

    Wrapped objects are neither identical to what they wrap nor fit for the signals of Qt
    and psygnal.
    """
    bare: Any = wrapped
    found: T = unwrap(bare)
    return found


class Ownership:
    """Images of one viewer, and the layers that were made or chosen for each.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Only layers that are in it are handed out; it is not kept alive.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = weakref.ref(plain(viewer))
        self._serving: weakref.WeakKeyDictionary[Image, dict[Role, weakref.ref[Layer]]] = (
            weakref.WeakKeyDictionary()
        )
        self._image_of: weakref.WeakKeyDictionary[Layer, weakref.ref[Image]] = (
            weakref.WeakKeyDictionary()
        )
        self._agreed: weakref.WeakKeyDictionary[Layer, weakref.WeakSet[Image]] = (
            weakref.WeakKeyDictionary()
        )

    def serving(self, image: Image, role: Role) -> Any:
        """The layer that an image uses; None when there is none in the viewer."""
        reference = self._serving.get(plain(image), {}).get(role)
        layer = None if reference is None else reference()
        return layer if self._is_there(layer) else None

    def use(self, image: Image, role: Role, layer: Layer | None) -> None:
        """Let a layer serve an image from now on; None lets a new one be made."""
        roles = self._serving.setdefault(plain(image), {})
        if layer is None:
            roles.pop(role, None)
        else:
            roles[role] = weakref.ref(plain(layer))

    def made(self, layer: Layer, image: Image) -> None:
        """Note that a layer was made for an image."""
        self._image_of[plain(layer)] = weakref.ref(plain(image))

    def is_made(self, layer: Layer) -> bool:
        """Whether a layer was made for an image of this viewer, whichever."""
        return plain(layer) in self._image_of

    def image_of(self, layer: Layer) -> Image | None:
        """The image that a layer was made for; None where there is, or was, none."""
        reference = self._image_of.get(plain(layer))
        return None if reference is None else reference()

    def layers_of(self, image: Image) -> list[Layer]:
        """The layers in the viewer that were made for an image, the lowest first."""
        viewer, image = self._viewer(), plain(image)
        layers = [] if viewer is None else viewer.layers
        return [layer for layer in layers if self.image_of(layer) is image]

    def may_write(self, labels: Labels, image: Image) -> bool:
        """Whether a Labels layer was made for an image, or the user agreed to its use."""
        labels, image = plain(labels), plain(image)
        return self.image_of(labels) is image or image in self._agreed.get(labels, ())

    def agree(self, labels: Labels, image: Image) -> None:
        """Note that the user wants objects of an image in a Labels layer."""
        self._agreed.setdefault(plain(labels), weakref.WeakSet()).add(plain(image))

    def replaced(self, old: Layer, new: Layer) -> None:
        """Let a layer take the place of another one everywhere."""
        old, new = plain(old), plain(new)
        if old in self._image_of:
            self._image_of[new] = self._image_of[old]
        if old in self._agreed:
            self._agreed[new] = self._agreed[old]
        for roles in self._serving.values():
            for role, reference in roles.items():
                if reference() is old:
                    roles[role] = weakref.ref(new)

    def _is_there(self, layer: Layer | None) -> bool:
        viewer = self._viewer()
        return layer is not None and viewer is not None and layer in viewer.layers


_known: weakref.WeakKeyDictionary[ViewerModel, Ownership] = weakref.WeakKeyDictionary()


def ownership_of(viewer: ViewerModel) -> Ownership:
    """The one owner of a viewer's layers, the same for all widgets, for its whole life."""
    viewer = plain(viewer)
    if viewer not in _known:
        _known[viewer] = Ownership(viewer)
    return _known[viewer]
