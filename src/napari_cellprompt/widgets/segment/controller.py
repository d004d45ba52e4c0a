"""Between layers and model: asks for masks, shows them, writes accepted ones.

Everything here runs on the GUI thread and none of it waits; answers arrive through one
queued signal and are dropped when the user has moved on.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.accept import Acceptor, Overlap
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import ImageRevisions, plane_source
from napari_cellprompt.layers.preview import Preview
from napari_cellprompt.layers.prompts import fit_points
from napari_cellprompt.layers.resolve import SegmentState, resolve
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .contrast import ContrastLimits, Pending
from .prompt_layers import Chosen, clear_prompts, put_below_prompts, remove_last_prompt
from .view_layer import ModelViewLayer
from .watch import LayerWatch, view_centre

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import Candidate, PlaneKey, Prediction, Prompts
    from napari_cellprompt.session.segment import LoadedSegmenter, ModelView, SegmentSession

    from .contrast import Limits

__all__ = ["SegmentController"]

# Predictions kept, so that going back to a plane or a sign does not compute again.
_REMEMBERED = 16
READY = "Click on an object, or press G and draw a box around it."
NO_IMAGE = "Open an image to start."


class SegmentController:
    """The interaction of the Segment widget, apart from its controls.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    session : SegmentSession
        Runs the model.
    warn : callable
        Told each message that the user must not miss.
    percentiles : tuple of float
        Used while ``by_percentiles`` is on.
    """

    changed = Signal()
    """Status, model or candidates are not what they were."""
    target_changed = Signal(object)
    """Objects now go into this Labels layer."""

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        *,
        warn: Callable[[str], None],
        percentiles: tuple[float, float] = (0.1, 99.9),
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._warn = warn
        self.chosen = Chosen()
        self.channel_axis: int | None = None
        self.channel: int | None = None
        self.overlap: Overlap = "keep"
        self.status = ""
        self.model: LoadedSegmenter | None = None
        self.prediction: Prediction | None = None
        self.candidate_number = 0
        self._state: SegmentState | None = None
        self._source: PlaneSource | None = None
        self.waiting = False
        """Whether the mask of the newest prompts is still being computed."""
        self.held = False
        """Whether clicks belong to someone else, who corrects a propagation with them."""
        self._accept_when_ready = False
        self._generation = 0
        self._size_hint: float | None = None
        self._answers: OrderedDict[tuple[PlaneKey, Prompts], Prediction] = OrderedDict()
        self.acceptor = Acceptor(viewer)
        self.preview = Preview(viewer)
        self.model_view = ModelViewLayer(viewer)
        self._revisions = ImageRevisions()
        self.bridge = ResultBridge()
        self.contrast = ContrastLimits(
            session, self.bridge, percentiles, self._limits_arrived
        )
        self._watch = LayerWatch(
            viewer, self.bridge, changed=self.refresh, view_rested=self._prepare
        )

    # --- what the widget tells ---------------------------------------------------

    def load_model(self, name: str, device: str) -> None:
        """Load a model in the background; predictions wait for it."""
        self.model = None
        self._answers.clear()
        self._ask_again()
        self.tell(f"Loading {name} ...")
        self.bridge.deliver(self._session.load_model(name, device), self._loaded)

    def set_layers(self, chosen: Chosen) -> None:
        """Work with these layers from now on."""
        if self.chosen.image is not None and chosen.image != self.chosen.image:
            self._revisions.forget(self.chosen.image)
            self.model_view.close()
        self.chosen = chosen
        self._watch.follow(chosen.image, chosen.prompts)

    def options_changed(self) -> None:
        """Channel or contrast were assigned."""
        self._watch.follow(self.chosen.image, self.chosen.prompts)

    def tell(self, text: str, warn: bool = False) -> None:
        """Show a message; one that must not be missed is also a notification."""
        self.status = text
        if warn:
            self._warn(text)
        self.changed.emit()

    @property
    def session(self) -> SegmentSession:
        """The model and its thread."""
        return self._session

    @property
    def state(self) -> SegmentState | None:
        """What the layers show; None before there is an image."""
        return self._state

    def pixels_of(self, image: Image) -> tuple[str, Limits | Pending | None]:
        """Identity of an image's pixels, and the grey values that become 0 and 255."""
        return self._revisions.key(image), self._current_limits(image)

    def hold(self) -> None:
        """Leave clicks and boxes to someone else, until ``release``."""
        self.held = True
        self._forget_state()
        self.tell("Clicks correct the propagation until it is accepted or discarded.")

    def release(self) -> None:
        """Answer clicks and boxes again."""
        self.held = False
        self._ask_again()

    @property
    def candidate(self) -> Candidate | None:
        """The mask on screen."""
        if self.prediction is None:
            return None
        return self.prediction.candidates[self.candidate_number]

    # --- what the user does ------------------------------------------------------

    def accept(self) -> None:
        """Write the mask on screen, or the one that is being computed once it is there."""
        if self.held:
            self.tell("Accept or discard the propagation first.", warn=True)
            return
        self.refresh()
        chosen, state = self.chosen, self._state
        if self.waiting:
            self._accept_when_ready = True
            self.tell("The mask is accepted as soon as it is there ...")
            return
        candidate = self.candidate
        if candidate is None or state is None or chosen.image is None:
            self.tell("There is no mask to accept: click on an object first.", warn=True)
            return
        if chosen.labels is None:
            self.tell("Choose a Labels layer for the objects first.", warn=True)
            return
        try:
            accepted = self.acceptor.accept(
                chosen.labels, chosen.image, state, candidate, self.overlap
            )
        except CellpromptError as error:
            self.tell(str(error), warn=True)
            return
        self.target_written(chosen.labels, accepted.layer)
        self._size_hint = accepted.record.size
        clear_prompts(self.chosen, state.view)
        self.refresh()
        self.tell(accepted.message)
        x0, y0, x1, y1 = accepted.record.planes[0].box
        self._prepare_at(((x0 + x1) / 2, (y0 + y1) / 2))

    def target_written(self, labels: Labels, written: Labels) -> None:
        """Go on with a layer that has room for larger ids, where one took the place."""
        if written != labels and labels not in self._viewer.layers:
            self.chosen = replace(self.chosen, labels=written)
            self.target_changed.emit(written)

    def discard(self) -> None:
        """Delete the prompts of this plane."""
        self._accept_when_ready = False
        if self.chosen.image is None or self.held:
            return
        try:
            # Not from the state: prompts that cannot be used have led to none.
            view = plane_of(self._viewer, self.chosen.image, channel_axis=self.channel_axis)
        except CellpromptError as error:
            self.tell(str(error))
            return
        clear_prompts(self.chosen, view)
        self.refresh()

    def next_candidate(self) -> None:
        """Show the next of the masks that the model offers."""
        if self.prediction is None:
            self.tell("There is no mask yet: click on an object first.")
            return
        count = len(self.prediction.candidates)
        self.candidate_number = (self.candidate_number + 1) % count
        self._show()

    def toggle_outline(self) -> None:
        """Show masks that are not accepted yet as an outline, or filled."""
        self.preview.contour = 0 if self.preview.contour else 1
        self.changed.emit()

    def undo(self) -> None:
        """Take back the last prompt of this object, or else the last object."""
        view = None if self._state is None else self._state.view
        if view is not None and remove_last_prompt(self.chosen, view):
            self.refresh()
        elif self.chosen.labels is not None:
            self.tell(self.acceptor.undo(self.chosen.labels))

    def redo(self) -> None:
        """Bring back the object that was undone last."""
        if self.chosen.labels is not None:
            self.tell(self.acceptor.redo(self.chosen.labels))

    def show_model_view(self) -> None:
        """Show or hide exactly the pixels that the model gets."""
        if self.model_view.layer is not None:
            self.model_view.close()
            return
        image, state, source = self.chosen.image, self._state, self._source
        if image is None or state is None or source is None:
            self.tell("Open an image first.", warn=True)
            return
        prompts = state.prompts
        if prompts.is_empty:
            centre = view_centre(self._viewer, image, state.view, source.shape)
            prompts = replace(prompts, points=(centre,), labels=(1,))

        def arrived(future: Future[ModelView]) -> None:
            seen = self._result(future)
            if (
                seen is not None
                and self._state is not None
                and (self._state.plane == state.plane and self.chosen.image == image)
            ):
                self.model_view.show(image, state.view, seen)

        future = self._session.model_view(
            source,
            prompts,
            size_hint=self._size_hint,
            tile=None if self.prediction is None else self.prediction.tile,
        )
        self.bridge.deliver(future, arrived)

    def close(self, *, remove_layers: bool = True) -> None:
        """Undo every connection; no answer arrives after this."""
        self._watch.close()
        self.bridge.close()
        self._session.close()
        self._revisions.close()
        self.acceptor.close()
        if remove_layers:
            self.preview.close()
            self.model_view.close()
        self.chosen = Chosen()
        self._state = self._source = self.prediction = None
        self._answers.clear()

    # --- from layers to a request --------------------------------------------------

    def refresh(self) -> None:
        """Read the layers, and ask for a mask when they say something new."""
        if self.held:
            return
        chosen = self.chosen
        if chosen.image is None:
            self._forget_state()
            self.tell(NO_IMAGE)
            return
        try:
            limits = self._current_limits(chosen.image)
            if isinstance(limits, Pending):
                self.tell("Looking at the grey values of the whole image ...")
                return
            state = self._resolve(limits)
            if state == self._state:
                return
            source = plane_source(
                chosen.image,
                state.view,
                image_id=state.plane.image,
                channel=self.channel,
                limits=limits,
            )
        except CellpromptError as error:
            self._forget_state()
            self.tell(str(error))
            return
        known = state.same_request(self._state)
        self._state, self._source = state, source
        if not known:
            self._request(state, source)

    def _resolve(self, limits: Limits | None) -> SegmentState:
        chosen = self.chosen
        return resolve(
            self._viewer,
            image=chosen.image,
            points=chosen.points,
            boxes=chosen.boxes,
            labels=chosen.labels,
            image_id=self._revisions.key(chosen.image),
            channel=self.channel,
            channel_axis=self.channel_axis,
            limits=limits,
        )

    def _request(self, state: SegmentState, source: PlaneSource) -> None:
        self._generation += 1
        generation = self._generation
        self.waiting = self._accept_when_ready = False
        if state.prompts.is_empty:
            self._set_prediction(None)
            self.tell(READY if self.model is not None else self.status)
            return
        key = (state.plane, state.prompts)
        remembered = self._answers.get(key)
        if remembered is not None:
            self._answers.move_to_end(key)
            self._set_prediction(remembered)
            return
        self.waiting = True
        if self.model is not None:
            self.tell("Segmenting ...")
        future = self._session.predict(source, state.prompts, size_hint=self._size_hint)
        self.bridge.deliver(
            future, lambda finished: self._predicted(finished, generation, key)
        )

    def _predicted(
        self,
        future: Future[Prediction],
        generation: int,
        key: tuple[PlaneKey, Prompts],
    ) -> None:
        stale = generation != self._generation
        prediction = self._result(future, quiet=stale)
        if prediction is not None:
            self._answers[key] = prediction
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        if stale:
            return
        self.waiting = False
        self._set_prediction(prediction)
        if self._accept_when_ready:
            self._accept_when_ready = False
            if prediction is not None:
                self.accept()

    # --- helpers -------------------------------------------------------------------

    def _loaded(self, future: Future[LoadedSegmenter]) -> None:
        self.model = self._result(future)
        if self.model is not None:
            ready = NO_IMAGE if self.chosen.image is None else READY
            self.tell("Segmenting ..." if self.waiting else ready)
            self._prepare()

    def _set_prediction(self, prediction: Prediction | None) -> None:
        self.prediction = prediction
        self.candidate_number = 0
        if prediction is None:
            self.preview.hide()
            self.changed.emit()
        else:
            self._show()

    def _show(self) -> None:
        candidate, state = self.candidate, self._state
        if candidate is None or state is None or self.chosen.image is None:
            return
        if candidate.mask.box is None:
            self.preview.hide()
            self.tell("The model finds nothing here: add a click, or draw a box.")
            return
        self.preview.show(self.chosen.image, state.view, candidate.mask)
        put_below_prompts(self._viewer, self.preview.layer, self.chosen)
        if self.chosen.points is not None:
            x0, y0, x1, y1 = candidate.mask.box
            fit_points(self.chosen.points, max(x1 - x0, y1 - y0))
        self.tell("A accepts the mask, N shows the next one, Q discards.")

    def _forget_state(self) -> None:
        self._generation += 1
        self.waiting = self._accept_when_ready = False
        self._state = self._source = None
        self._set_prediction(None)

    def _ask_again(self) -> None:
        """Make the next look at the layers count as a change."""
        self._state = None
        self._watch.look_soon()

    def _current_limits(self, image: Image) -> Limits | Pending | None:
        return self.contrast.of(
            image, self._revisions.key(image), self.channel_axis, self.channel
        )

    def _limits_arrived(self, future: Future[Limits]) -> None:
        # A failure is told, but not tried again before the user changes something.
        if self._result(future) is not None:
            self.refresh()

    def _prepare(self) -> None:
        """Compute the features in the middle of the canvas, if nothing else is asked."""
        image, state, source = self.chosen.image, self._state, self._source
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
