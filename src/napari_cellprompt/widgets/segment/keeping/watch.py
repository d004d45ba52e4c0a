"""What is there to be kept of an image: Labels layers, objects, clicks and shapes."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.prompting.drawn import Drawing
from napari_cellprompt.layers.saved import Edits, drawing_entry

from .entries import layer_entry

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.io.session_types import DrawingEntry
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.workplace import Workplace

    from .book import Book

__all__ = ["Watch"]


class Watch:
    """Looks at the layers of one viewer; changes none of them.

    Parameters
    ----------
    place : Workplace
        Knows which layers belong to which image.
    """

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self.edits = Edits()
        """Counts what may have changed pixels."""

    def find_layers(self, book: Book) -> None:
        """Give numbers to layers that are new; forget none."""
        place, shown = self._place, self._place.viewer.layers
        labels = place.ownership.serving(book.image, "labels")
        if labels is not None and place.ownership.may_write(labels, book.image):
            self.number(book, labels)
        for number, layer in enumerate(book.layers):
            store = place.acceptor.store(layer)
            known = book.entries[number]
            facts = (
                layer.name,
                str(layer.data.dtype),
                tuple(map(astuple, store.classes)),
                store.highest,
                layer not in shown,
            )
            classes = tuple(map(astuple, known.classes))
            if facts != (known.name, known.dtype, classes, known.highest, known.removed):
                book.entries[number] = layer_entry(layer, store, removed=facts[-1])
        self.edits.follow([layer for layer in book.layers if layer in shown])

    def number(self, book: Book, labels: Labels) -> int:
        """The number of a layer; a new one where it has none."""
        known = book.number(labels)
        if known is not None:
            return known
        shown = self._place.viewer.layers
        for number, layer in enumerate(book.layers):
            # one with room for larger ids has taken its place
            if layer not in shown and layer.name == labels.name:
                if layer.data.shape == labels.data.shape:
                    book.layers[number] = labels
                    return number
        book.layers.append(labels)
        store = self._place.acceptor.store(labels)
        book.entries.append(layer_entry(labels, store, removed=False))
        return len(book.layers) - 1

    def arrays(self, book: Book) -> tuple[tuple[int, NDArray[Any]], ...]:
        """Pixels of the layers that are there, with their numbers; nothing is copied."""
        shown = self._place.viewer.layers
        return tuple(
            (number, full_resolution(layer))
            for number, layer in enumerate(book.layers)
            if layer in shown
        )

    def objects(self, book: Book) -> dict[tuple[int, int], ObjectRecord]:
        """What is known of every object, by layer and id."""
        acceptor, shown = self._place.acceptor, self._place.viewer.layers
        if self.edits.count != book.edits:
            for layer in book.layers:
                if layer in shown:
                    # an undo in the layer itself tells nobody
                    acceptor.sync(layer)
            book.edits = self.edits.count
        return {
            (number, record.id): record
            for number, layer in enumerate(book.layers)
            for record in acceptor.store(layer)
        }

    def drawing(self, book: Book) -> DrawingEntry | None:
        """Clicks and shapes that are not accepted; None without."""
        serving = self._place.ownership.serving
        points, boxes = serving(book.image, "points"), serving(book.image, "boxes")
        return drawing_entry(Drawing.of(points, boxes))

    def close(self) -> None:
        """Look no more."""
        self.edits.close()
