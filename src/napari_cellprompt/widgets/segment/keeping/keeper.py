"""Looks once a second whether something has changed, and has it written."""

from __future__ import annotations

import logging
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

import napari_cellprompt
from napari_cellprompt.core.images.fingerprint import content_fingerprint
from napari_cellprompt.io.session_types import (
    Accept,
    AcceptedObject,
    ExportEntry,
    Session,
)
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.labels.commit_stack import being_written
from napari_cellprompt.layers.saved import (
    image_entry,
    place_entry,
    plane_entry,
    provenance,
    set_provenance,
)
from napari_cellprompt.session.saved.autosave import Autosave, Kept, find_kept
from napari_cellprompt.session.saved.recording import Snapshot
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .book import Book, changes_of, now
from .models import ModelNumbers
from .resume import Resumed, prepare, resume
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.layers import Image, Labels

    from napari_cellprompt.core.types import Candidate, Prompts
    from napari_cellprompt.io.session_types import DrawingEntry, ModelEntry, Step
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .offer import OfferBar

__all__ = ["SessionKeeper"]

_log = logging.getLogger(__name__)
_TICK = 1000
"""Milliseconds from a change to its being written, at most."""
_RETRY = 30.0
"""Seconds to wait after a file could not be written."""


class SessionKeeper:
    """Keeps the sessions of one viewer's images in their files.

    Parameters
    ----------
    controller : SegmentController
        Of the Segment widget, with its workplace.
    settings : callable
        What is chosen in the form, by name.
    restore : callable
        Chooses that again.
    parent : QObject
        Owner of the timer.
    beside : bool
        Whether sessions lie beside their images.
    """

    def __init__(
        self,
        controller: SegmentController,
        *,
        settings: Callable[[], dict[str, Any]],
        restore: Callable[[dict[str, Any]], None],
        parent: QObject,
        beside: bool = True,
    ) -> None:
        self._controller = controller
        self._place = place = controller.place
        self._settings, self._restore = settings, restore
        self._beside = beside
        self._books: dict[str, Book] = {}
        self._book: Book | None = None
        self._watch = Watch(place)
        self._bar: OfferBar | None = None
        self._bridge = ResultBridge()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-sessions")
        self._models = ModelNumbers(controller, self._pool)
        self.longest = 0.0
        """Seconds that a snapshot has taken at most."""
        self._timer = QTimer(parent)
        self._timer.timeout.connect(self.save)
        self._timer.start(_TICK)
        place.chosen_changed.connect(self.look)
        place.acceptor.accepted.connect(self._accepted)
        place.steps.moved.connect(self._moved)
        place.decided.connect(self._decided)

    # --- which image -----------------------------------------------------------------

    def attach(self, bar: OfferBar) -> None:
        """Ask and tell in this bar."""
        self._bar = bar
        self.look()

    def look(self) -> None:
        """Keep the session of the image that is chosen now."""
        image = self._place.chosen.image
        book = None if image is None else self._books.get(str(image.unique_id))
        if book is not self._book or (book is None and image is not None):
            self.save()
            if image is not None and book is None:
                book = self._books[str(image.unique_id)] = Book(image)
                self._find(book)
            self._book = book
            self._show()

    def _find(self, book: Book) -> None:
        """Look for a session of another day, off the GUI thread."""
        entry, data = image_entry(book.image), full_resolution(book.image)
        beside = self._beside

        def job() -> tuple[Any, Kept | None, list[str]]:
            from dataclasses import replace

            known = replace(entry, fingerprint=content_fingerprint(data))
            return known, *find_kept(known, beside=beside)

        def arrived(future: Future[tuple[Any, Kept | None, list[str]]]) -> None:
            if complaint(future) is not None:
                self._tell(complaint(future) or "")
                return
            book.entry, book.offered, notes = future.result()
            for note in notes:
                self._tell(note)
            if book.offered is not None and self._adopt(book, book.offered):
                return
            self._show()

        self._bridge.deliver(self._pool.submit(job), arrived)

    def _adopt(self, book: Book, kept: Kept) -> bool:
        """Go on without a question where the layers of the session are still here."""
        path = str(kept.claim.path)
        there = [
            layer
            for layer in self._place.ownership.layers_of(book.image)
            if layer.metadata and provenance(layer).get("session") == path
        ]
        if len(there) != len(kept.session.layers) or not there:
            return False
        names = [entry.name for entry in kept.session.layers]
        there.sort(key=lambda layer: names.index(layer.name) if layer.name in names else 0)
        self._go_on(book, kept, there)
        return True

    # --- the user's answer -----------------------------------------------------------

    def go_on(self) -> None:
        """Bring the session back that is offered."""
        book = self._book
        if book is not None and book.offered is not None:
            self._go_on(book, book.offered, None)

    def start_anew(self) -> None:
        """Leave the session that is offered as it is."""
        book = self._book
        if book is not None and book.offered is not None:
            book.offered.claim.release()
            book.offered = None
        self._show()

    def _go_on(self, book: Book, kept: Kept, there: list[Any] | None) -> None:
        # until then its layers are not those of another session
        book.offered, book.returning = None, True
        self._show()
        future = self._pool.submit(prepare, kept.session, with_labels=there is None)

        def arrived(future: Future[Resumed]) -> None:
            book.returning = False
            problem = complaint(future)
            if problem is not None:
                kept.claim.release()
                self._tell(problem)
                return
            earlier, book.autosave = book.autosave, None
            if earlier is not None:
                earlier.close()
            began = book.layers
            book.layers, book.entries = resume(
                self._place, book.image, kept.session, future.result(), there
            )
            # what was made before the question was answered
            book.drafts.clear()
            book.take_over(kept.session)
            book.rows = self._watch.objects(book)
            book.autosave = Autosave(self._entry(book), kept, beside=self._beside)
            for labels in began:
                self._watch.number(book, labels)
            if there is None:
                self._restore(kept.session.settings)
            self._controller.tell(f"The session of {_date(kept.session)} goes on.")
            self._show()

        self._bridge.deliver(future, arrived)

    # --- what is decided -------------------------------------------------------------

    def _accepted(
        self,
        labels: Labels,
        image: Image,
        state: SegmentState,
        used: Sequence[tuple[Prompts, Candidate, int]],
        policy: Any,
    ) -> None:
        """Note objects that were accepted on a plane."""
        origins = [self._controller.proposals.origin(state.plane, one[0]) for one in used]
        plane = plane_entry(state.plane, state.view.channel_axis, image)
        place = place_entry(labels, image, state.view)

        def build(at: float, layer: int, model: int | None) -> Step:
            from napari_cellprompt.io.session_masks import pack_mask

            return Accept(
                kind="accept",
                at=at,
                layer=layer,
                model=model,
                plane=plane,
                place=place,
                policy=policy,
                objects=tuple(
                    AcceptedObject(
                        id=number,
                        prompts=prompts,
                        candidate=chosen,
                        size_hint=hint,
                        score=float(candidate.score),
                        mask=pack_mask(candidate.mask),
                    )
                    for (prompts, candidate, number), (chosen, hint) in zip(
                        used, origins, strict=True
                    )
                ),
            )

        self._note(labels, image, build, [number for _, _, number in used])

    def _decided(self, labels: Labels, step: Any) -> None:
        """Note what another widget has done: image, what makes the step, and ids."""
        image, build, ids = step
        self._note(labels, image, build, ids)

    def _note(self, labels: Labels, image: Image, build: Any, ids: Sequence[int]) -> None:
        book = self._books.get(str(image.unique_id))
        if book is None:
            return
        layer, at, model = (
            self._watch.number(book, labels),
            book.at,
            self._models.number(book),
        )
        book.draft(lambda: build(at, layer, model))
        book.explained.update((layer, number) for number in ids)

    def _moved(self, what: str, text: str) -> None:
        """Note that something other than a click was taken back, or brought back."""
        book, labels = self._book, self._place.chosen.labels
        if book is None or labels is None:
            return
        layer = self._watch.number(book, labels)
        book.change(layer, what, (), text)
        book.moved = True

    def exported(self, labels: Labels, path: Path) -> None:
        """Note that objects were written to a file of their own."""
        for book in self._books.values():
            if book.number(labels) is not None:
                entry = ExportEntry(path=str(path), at=book.at, steps=book.steps)
                book.exports.append(entry)

    # --- writing ---------------------------------------------------------------------

    def save(self, *, closing: bool = False) -> None:
        """Have what has changed written; takes a few milliseconds."""
        book = self._book
        if book is None or book.entry is None or book.returning:
            return
        if time.monotonic() < book.not_before and not closing:
            return
        started = time.perf_counter()
        watch = self._watch
        watch.find_layers(book)
        if any(layer in being_written for layer in book.layers):
            return
        rows, drawing = watch.objects(book), watch.drawing(book)
        version, half_done = self._half_done(book)
        # Large layers take long to compare: decisions are written at once, strokes of the
        # brush when nine times that long has gone by.
        due = closing or time.monotonic() >= book.compare_at
        edits = watch.edits.count if due else book.compared
        models = self._models.entries(book)
        seen = (
            edits,
            book.steps,
            drawing,
            version,
            tuple(map(id, rows.values())),
            tuple(book.entries),
            len(book.exports),
            models,
        )
        if seen == book.seen:
            return
        if book.autosave is None:
            if not (book.layers or drawing or version):
                return
            book.autosave = Autosave(book.entry, beside=self._beside)
        book.seen, book.compared = seen, edits
        if not book.moved:
            for what, layer, ids in changes_of(book.rows, rows, book.explained):
                book.change(layer, what, ids)
        count = watch.edits.count
        snapshot = Snapshot(
            head=self._head(book, models, drawing),
            records=tuple((place[0], record) for place, record in rows.items()),
            drafts=tuple(book.drafts),
            layers=watch.arrays(book) if due else (),
            unchanged=lambda: watch.edits.count == count,
            at=book.at,
            propagation=half_done,
        )
        book.drafts, book.explained, book.moved = [], set(), False
        book.rows = rows
        future = book.autosave.save(snapshot)
        self.longest = max(self.longest, time.perf_counter() - started)
        self._bridge.deliver(future, lambda done: self._saved(book, done))

    def _head(
        self, book: Book, models: tuple[ModelEntry, ...], drawing: DrawingEntry | None
    ) -> Session:
        """A session without its objects and steps."""
        return Session(
            program={
                "cellprompt": napari_cellprompt.__version__,
                "python": platform.python_version(),
            },
            started=book.started,
            saved=now(),
            image=self._entry(book),
            models=models,
            layers=tuple(book.entries),
            settings=self._settings(),
            drawing=drawing,
            exports=tuple(book.exports),
        )

    def _saved(self, book: Book, future: Future[tuple[bool, str]]) -> None:
        problem = complaint(future)
        if problem is not None:
            # tried again with the next change, but not every second
            book.seen, book.not_before = None, time.monotonic() + _RETRY
            self._tell(problem)
            return
        complete, note = future.result()
        if not complete:
            book.seen = None
        if book.autosave is not None:
            book.compare_at = time.monotonic() + 9 * book.autosave.seconds
        self._tell(note)
        self._mark(book)
        if book is self._book:
            self._show()

    def _half_done(self, book: Book) -> tuple[Any, Callable[[], Any]]:
        found = self._place.half_done(book.image)
        if found is None:
            entry = self._place.unfinished if book is self._book else None
            return (None if entry is None else "kept"), lambda: entry
        return found

    def _entry(self, book: Book) -> Any:
        if book.entry is None:
            raise RuntimeError("the image is not known yet")
        return book.entry

    # --- telling ---------------------------------------------------------------------

    def _mark(self, book: Book) -> None:
        """Note in each layer where its objects come from."""
        path = None if book.autosave is None else book.autosave.path
        if path is None:
            return
        models = [f"{one.name} ({one.hash})" for one in self._models.entries(book)]
        for layer in book.layers:
            facts = {
                "program": f"napari-cellprompt {napari_cellprompt.__version__}",
                "session": str(path),
                "image": self._entry(book).name,
                "fingerprint": self._entry(book).fingerprint,
                "models": models,
                "objects": len(self._place.acceptor.store(layer)),
            }
            set_provenance(layer, facts)

    def _show(self) -> None:
        bar, book = self._bar, self._book
        if bar is None:
            return
        kept = None if book is None else book.offered
        bar.ask("" if kept is None else _question(kept.session))
        path = None if book is None or book.autosave is None else book.autosave.path
        bar.tell("" if path is None else f"Session: {path.name}", str(path))

    def _tell(self, text: str) -> None:
        if text:
            self._controller.tell(text, True)

    def close(self) -> None:
        """Have everything written, and say where it is."""
        self.save(closing=True)
        self._timer.stop()
        self._watch.close()
        place = self._place
        place.chosen_changed.disconnect(self.look)
        place.acceptor.accepted.disconnect(self._accepted)
        place.steps.moved.disconnect(self._moved)
        place.decided.disconnect(self._decided)
        for book in self._books.values():
            if book.offered is not None:
                book.offered.claim.release()
            if book.autosave is not None:
                book.autosave.close()
                exported = book.exports[-1].steps if book.exports else 0
                if book.rows and exported < book.steps and book.autosave.path:
                    _log.warning(
                        "%d objects of '%s' that were not exported are kept in %s.",
                        len(book.rows),
                        book.image.name,
                        book.autosave.path,
                    )
        self._books.clear()
        self._book = self._bar = None
        self._bridge.close()
        self._pool.shutdown(wait=False)


def _question(session: Session) -> str:
    parts = [f"{len(session.objects)} object{'s' * (len(session.objects) != 1)}"]
    if session.drawing is not None:
        count = len(session.drawing.points) + len(session.drawing.shapes)
        parts.append(f"{count} prompt{'s' * (count != 1)}")
    if session.propagation is not None:
        parts.append("a propagation that is not finished")
    what = ", ".join(parts)
    return f"There is a session of this image ({_date(session)}): {what}."


def _date(session: Session) -> str:
    """When a session was saved last, in the time of this place."""
    return f"{datetime.fromisoformat(session.saved).astimezone():%Y-%m-%d %H:%M}"
