"""The models of a session by number, each with the fingerprint of its weights."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.io.session_types import ModelEntry

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .book import Book

__all__ = ["ModelNumbers"]


class ModelNumbers:
    """Gives numbers to models; fingerprints are taken off the GUI thread.

    Parameters
    ----------
    controller : SegmentController
        Has the model that is loaded.
    pool : Executor
        Where fingerprints are taken.
    """

    def __init__(self, controller: SegmentController, pool: Executor) -> None:
        self._controller = controller
        self._pool = pool
        self._hashes: dict[int, Future[str]] = {}

    def number(self, book: Book) -> int | None:
        """The number of the model that is loaded; None without one."""
        loaded = self._controller.model
        if loaded is None:
            return None
        model = loaded.segmenter.model
        if id(model) not in self._hashes:
            self._hashes[id(model)] = self._pool.submit(
                lambda: str(getattr(model, "fingerprint", ""))
            )
        # not known yet: held by the identity of the model until it is
        known = self._known(self._hashes[id(model)]) or f"?{id(model)}"
        entry = ModelEntry(name=loaded.name, hash=known, device=loaded.device)
        self._complete(book)
        if entry not in book.models:
            book.models.append(entry)
        return book.models.index(entry)

    def entries(self, book: Book) -> tuple[ModelEntry, ...]:
        """All of them, with the fingerprints that are known by now."""
        self._complete(book)
        return tuple(
            replace(known, hash="") if known.hash.startswith("?") else known
            for known in book.models
        )

    def _complete(self, book: Book) -> None:
        for number, entry in enumerate(book.models):
            if entry.hash.startswith("?"):
                known = self._known(self._hashes.get(int(entry.hash[1:])))
                if known:
                    book.models[number] = replace(entry, hash=known)

    @staticmethod
    def _known(future: Future[str] | None) -> str:
        if future is None or not future.done() or future.exception() is not None:
            return ""
        return future.result()
