"""Between layers and model: asks for masks, shows them, writes accepted ones.

Everything here runs on the GUI thread; none of it waits, and late answers are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import plane_source
from napari_cellprompt.layers.on_top import note_on
from napari_cellprompt.layers.previews.mask import Preview
from napari_cellprompt.layers.prompting.drawn import remove_drawn
from napari_cellprompt.layers.prompting.prompts import fit_points
from napari_cellprompt.layers.prompting.resolve import SegmentState, resolve
from napari_cellprompt.widgets.segment.canvas.looking import ModelLook
from napari_cellprompt.widgets.segment.canvas.prompt_layers import clear_prompts, put_below
from napari_cellprompt.widgets.segment.canvas.watch import LayerWatch, view_centre
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .composer import Composer
from .contrast import ContrastLimits, Pending
from .proposals import Proposals
from .telling import Told

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.layers import Image

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import Candidate, PlaneKey, Prediction, Prompts
    from napari_cellprompt.layers.images import Pixels
    from napari_cellprompt.session.segment import LoadedSegmenter

    from .workplace import Workplace

__all__ = ["SegmentController"]

READY = "Click on an object, or press G and draw a box around it."
NO_IMAGE = "Open an image to start."


class SegmentController:
    """The interaction of the Segment widget, apart from its controls.

    Parameters
    ----------
    place : Workplace
        Viewer, model, layers and options.
    warn : callable
        Told each message that the user must not miss.
    percentiles : tuple of float
        Used while ``by_percentiles`` is on.
    """

    changed = Signal()
    """Status, model or candidates are not what they were."""
    released = Signal()
    """Clicks and boxes are answered again."""

    def __init__(
        self,
        place: Workplace,
        *,
        warn: Callable[[str], None],
        percentiles: tuple[float, float] = (0.1, 99.9),
    ) -> None:
        self.place = place
        self._viewer = viewer = place.viewer
        self._session = session = place.session
        self._warn = warn
        self._told = Told()
        self.model: LoadedSegmenter | None = None
        self.proposals = Proposals()
        self._sure_of: object = None
        """The doubtful masks that the user was asked about."""
        self._state: SegmentState | None = None
        self._source: PlaneSource | None = None
        self.waiting = False
        """Whether the mask of the newest prompts is still being computed."""
        self.held = False
        """Whether clicks belong to someone else, who corrects a propagation with them."""
        self._accept_when_ready = False
        self._generation = 0
        self._size_hint: float | None = None
        self.preview = Preview(viewer)
        self.bridge = ResultBridge()
        self._look = ModelLook(viewer, session, self.bridge, self._looked)
        self.model_view = self._look.layer
        self.contrast = place.contrast = ContrastLimits(
            session, self.bridge, percentiles, self._limits_arrived
        )
        place.composer = Composer(
            viewer, session, self.bridge, place.revisions, self._limits_arrived
        )
        self._watch = LayerWatch(
            viewer, self.bridge, changed=self.refresh, view_rested=self._prepare
        )
        self._image: Image | None = None
        self._loading = ""
        """What is loaded, until it is there."""
        place.chosen_changed.connect(self.follow)

    # --- what the widget tells ---------------------------------------------------

    def load_model(self, name: str, device: str) -> None:
        """Load a model in the background; predictions wait for it."""
        self.model = None
        self.proposals.forget()
        self._look.forget()
        self._ask_again()
        self._loading = f"Loading {name} ..."
        self.tell(self._loading)
        self.bridge.deliver(self._session.load_model(name, device), self._loaded)

    def follow(self) -> None:
        """Work with the chosen layers and options from now on."""
        chosen = self.place.chosen
        if chosen.image != self._image:
            self._look.close()
            self._image = chosen.image
        if not self.held:
            self.place.steps.drawing.look(chosen)
        self._watch.follow(chosen.image, chosen.prompts, self.place.beside)

    @property
    def status(self) -> str:
        """What the user is told."""
        return self._told.line

    def tell(self, text: str, warn: bool = False, *, lasting: bool = False) -> None:
        """Show a message: ``warn`` with a notification, ``lasting`` on other planes too."""
        if lasting:
            self._told.keep(text, self.place.steps.drawing.known)
        else:
            self._told.say(text)
        if warn:
            self._warn(text)
        self.changed.emit()

    def _answer(self, text: str) -> None:
        self._told.answer(text, self.place.steps.drawing.known)
        self.changed.emit()

    @property
    def state(self) -> SegmentState | None:
        """What the layers show; None before there is an image."""
        return self._state

    def hold(self) -> None:
        """Leave clicks and boxes to someone else, until ``release``."""
        self.place.steps.drawing.look(self.place.chosen)
        self.held = True
        self._forget_state()
        self.tell("Clicks correct the propagation until it is accepted or discarded.")

    def release(self) -> None:
        """Answer clicks and boxes again."""
        self.held = False
        self.place.steps.drawing.start(self.place.chosen)
        self._ask_again()
        self.released.emit()

    @property
    def prediction(self) -> Prediction | None:
        """The answer for the object that was drawn last."""
        return self.proposals.prediction

    @property
    def candidate_number(self) -> int:
        """Which of its masks is on screen."""
        return self.proposals.number

    @property
    def candidate(self) -> Candidate | None:
        """The mask on screen of the object that was drawn last."""
        shown = self.proposals.shown
        return shown[-1][1] if shown else None

    # --- what the user does ------------------------------------------------------

    def accept(self) -> None:
        """Write the masks on screen, or those being computed once they are there."""
        if self.held:
            self.tell("Accept or discard the propagation first.", warn=True)
            return
        self.refresh()
        chosen, state = self.place.chosen, self._state
        if self.waiting:
            self._accept_when_ready = True
            what = "computed" if self.model is not None else "waiting for the model"
            self.tell(
                f"The mask is not there yet: it is still {what}. It is accepted as soon "
                "as it arrives; Q takes that back."
            )
            return
        found = [one for one in self.proposals.shown if one[1].mask.box is not None]
        if not found or state is None or chosen.image is None:
            self.tell("There is no mask to accept: click on an object first.", warn=True)
            return
        doubt = self.proposals.doubt
        if doubt and self._sure_of != (state.plane, tuple(one[0] for one in found)):
            self._sure_of = state.plane, tuple(one[0] for one in found)
            self.tell(f"{doubt} Press A again to accept all the same.")
            return
        self._write(found, state, chosen.image)

    def _write(
        self, found: list[tuple[Prompts, Candidate]], state: SegmentState, image: Image
    ) -> None:
        """Accept masks of a plane, and be ready for the next objects."""
        place = self.place
        if place.divert is not None and place.divert(found, state):
            return
        try:
            labels = place.target(image, state.view)
            accepted = place.acceptor.accept(labels, image, state, found, place.overlap)
        except CellpromptError as error:
            self.tell(str(error), warn=True)
            return
        before, self._size_hint = place.steps.drawing.known, accepted.records[-1].size
        place.target_written(labels, accepted.layer)
        used = [found[number][0] for number in accepted.written]
        chosen, drawn = place.chosen, [one for one in state.drawn if one.prompts in used]
        remove_drawn(chosen.points, chosen.boxes, drawn)
        place.steps.drawing.start(chosen)
        place.steps.accepted(
            accepted.layer,
            accepted.records,
            image=image,
            view=state.view,
            before=before,
            chosen=chosen,
        )
        self.refresh()
        self.tell(accepted.message)
        x0, y0, x1, y1 = accepted.records[-1].planes[0].box
        self._prepare_at(((x0 + x1) / 2, (y0 + y1) / 2))

    def discard(self) -> None:
        """Delete the prompts of this plane."""
        self._accept_when_ready = False
        if self.place.chosen.image is None or self.held:
            return
        try:
            # Not from the state: prompts that cannot be used have led to none.
            view = plane_of(
                self._viewer, self.place.chosen.image, channel_axis=self.place.channel_axis
            )
        except CellpromptError as error:
            self.tell(str(error))
            return
        self.place.steps.drawing.look(self.place.chosen)
        clear_prompts(self.place.chosen, view)
        self.refresh()

    def next_candidate(self) -> None:
        """Show the next of the masks that the model offers."""
        if self.proposals.next():
            self._told.release()
            self._show()
        else:
            self.tell("There is no mask yet: click on an object first.")

    def toggle_outline(self) -> None:
        """Show masks that are not accepted yet as an outline, or filled."""
        self.preview.contour = 0 if self.preview.contour else 1
        self.changed.emit()

    def undo(self) -> None:
        """Take back what was done last: a click, a box, a discard, an accepted object."""
        text = self.place.steps.undo(self.place.chosen)
        self.refresh()
        self.tell(text)

    def redo(self) -> None:
        """Do again what was taken back last."""
        text = self.place.steps.redo(self.place.chosen)
        self.refresh()
        self.tell(text)

    def show_model_view(self) -> None:
        """Show or hide exactly the pixels that the model gets."""
        if self._look.shown:
            self._look.close()
            return
        image, state, source = self.place.chosen.image, self._state, self._source
        if image is None or state is None or source is None:
            self.tell("Open an image first.", warn=True)
            return
        tile = None if self.prediction is None else self.prediction.tile
        self._look.ask(image, state, source, size_hint=self._size_hint, tile=tile)

    def _looked(self, problem: str) -> None:
        """What the model sees is on screen, or cannot be shown."""
        if problem:
            self.tell(problem, warn=True)
        else:
            self.changed.emit()

    def close(self, *, remove_layers: bool = True) -> None:
        """Undo every connection; no answer arrives after this."""
        self._watch.close()
        self.bridge.close()
        self._session.close()
        self.place.chosen_changed.disconnect(self.follow)
        if remove_layers:
            self.preview.close()
            self._look.close()
        self._image = None
        self._state = self._source = None
        self.proposals.forget()
        self.place.steps.history.clear()

    # --- from layers to a request --------------------------------------------------

    def refresh(self) -> None:
        """Read the layers, and ask for a mask when they say something new."""
        if self.held:
            return
        chosen = self.place.chosen
        self.place.steps.drawing.look(chosen)
        if chosen.image is None:
            self._told.beside("", "")
            self._forget_state()
            self.tell(NO_IMAGE)
            return
        self._tell_covered(chosen.image, None)
        try:
            pixels = self.place.pixels_of(chosen.image)
            if isinstance(pixels, Pending):
                self._told.channels = ""
                self._answer("Looking at the grey values of the whole image ...")
                return
            state = self._resolve(pixels)
            if state == self._state:
                self._tell_covered(chosen.image, state)
                return
            source = plane_source(chosen.image, state.view, **pixels.arguments)
        except CellpromptError as error:
            self._look.close()
            self._told.channels = ""
            self._forget_state()
            self.tell(str(error))
            return
        known = state.same_request(self._state)
        self._state, self._source = state, source
        # not before: who is told looks at the state
        self._tell_covered(chosen.image, state)
        self._look.follow(chosen.image, state, source)
        if not known:
            self._request(state, source)

    def _tell_covered(self, image: Image, state: SegmentState | None) -> None:
        """Say which image is meant, where another one is seen in its place."""
        drawn = None if state is None or state.prompts.is_empty else state.drawn
        at = None if state is None or not drawn else (state.view, drawn[-1].spot)
        note = note_on(self._viewer, image, at, channel_axis=self.place.channel_axis)
        channels = self._told.channels
        if state is not None:
            channels = "" if drawn else self.place.channel_note(image)
        if self._told.beside(note, channels):
            self.changed.emit()

    def _resolve(self, pixels: Pixels) -> SegmentState:
        chosen = self.place.chosen
        return resolve(
            self._viewer,
            image=chosen.image,
            points=chosen.points,
            boxes=chosen.boxes,
            labels=chosen.labels,
            pixels=pixels,
            channel_axis=self.place.channel_axis,
            one_per_point=self.place.one_per_point,
        )

    def _request(self, state: SegmentState, source: PlaneSource) -> None:
        self._generation += 1
        generation = self._generation
        self.waiting = self._accept_when_ready = False
        objects = state.objects
        missing = self.proposals.missing(state.plane, objects, self._size_hint)
        self.proposals.show(state.plane, objects)
        if not objects:
            self.preview.hide()
            self._answer(READY if self.model is not None else self._told.text)
            return
        if not missing:
            self._show()
            return
        self.waiting = True
        if self.model is not None:
            self._answer("Segmenting ...")
        elif self._loading:
            self.tell(f"{self._loading} Your prompts are answered as soon as it is there.")
        future = self._session.predict_all(source, missing, size_hint=self._size_hint)
        self.bridge.deliver(
            future,
            lambda finished: self._predicted(finished, generation, state.plane, missing),
        )

    def _predicted(
        self,
        future: Future[list[Prediction]],
        generation: int,
        plane: PlaneKey,
        asked: list[Prompts],
    ) -> None:
        stale = generation != self._generation
        predictions = self._result(future, quiet=stale)
        for prompts, prediction in zip(asked, predictions or (), strict=False):
            self.proposals.remember(plane, prompts, prediction)
        if stale:
            return
        self.waiting = False
        state = self._state
        self.proposals.show(plane, state.objects if state is not None else ())
        self._show()
        if self._accept_when_ready:
            self._accept_when_ready = False
            if predictions is not None:
                self.accept()

    # --- helpers -------------------------------------------------------------------

    def _loaded(self, future: Future[LoadedSegmenter]) -> None:
        self._loading = ""
        self.model = self._result(future)
        if self.model is not None:
            self.place.acceptor.model = self.model.name
            there = self.place.chosen.image is not None
            self.tell("Segmenting ..." if self.waiting else READY if there else NO_IMAGE)
            self._prepare()

    def _show(self) -> None:
        shown, state, chosen = self.proposals.shown, self._state, self.place.chosen
        if not shown or state is None or chosen.image is None:
            self.preview.hide()
            self.changed.emit()
            return
        masks = [candidate.mask for _, candidate in shown if candidate.mask.box is not None]
        if not masks:
            self.preview.hide()
            self._answer("The model finds nothing here: add a click, or draw a box.")
            return
        self.preview.show(chosen.image, state.view, *masks)
        put_below(self._viewer, self.preview.layer, chosen.prompts)
        x0, y0, x1, y1 = masks[-1].box or (0, 0, 1, 1)
        if chosen.points is not None:
            fit_points(chosen.points, max(x1 - x0, y1 - y0))
        self._answer(self.proposals.advice(state.note))

    def _forget_state(self) -> None:
        self._generation += 1
        self.waiting = self._accept_when_ready = False
        self._state = self._source = None
        self.proposals.show(None, ())
        self.preview.hide()
        self.changed.emit()

    def _ask_again(self) -> None:
        """Make the next look at the layers count as a change."""
        self._state = None
        self._watch.look_soon()

    def _limits_arrived(self, future: Future[Any]) -> None:
        # A failure is told, but not tried again before the user changes something.
        if self._result(future) is not None:
            self.refresh()

    def _prepare(self) -> None:
        """Compute the features in the middle of the canvas, if nothing else is asked."""
        image, state, source = self.place.chosen.image, self._state, self._source
        if image is None or state is None or source is None:
            return
        if state.prompts.is_empty:
            self._prepare_at(view_centre(self._viewer, image, state.view, source.shape))

    def _prepare_at(self, xy: tuple[float, float]) -> None:
        if self.model is not None and self._source is not None:
            future = self._session.prepare(self._source, xy, size_hint=self._size_hint)
            # Whatever is wrong will be told when it matters, at the first click.
            self.bridge.deliver(future, lambda finished: None)

    def _result(self, future: Future[Any], *, quiet: bool = False) -> Any:
        """The result, or None after telling the user what went wrong."""
        message = complaint(future)
        if message is None:
            return future.result()
        if message and not quiet:
            self.tell(message, warn=True)
        return None
