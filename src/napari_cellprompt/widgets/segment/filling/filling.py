"""Key V: the selected object is filled in, shown, and accepted or discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.layers.labels.known import LabelPlanes
from napari_cellprompt.layers.labels.writable import LabelsError, check_writable
from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.layers.previews.stack import StackLabels
from napari_cellprompt.layers.prompting.drawn import remove_drawn
from napari_cellprompt.layers.stacks import LayerStack, stack_axes
from napari_cellprompt.widgets.shared.bridge import complaint
from napari_cellprompt.widgets.shared.latest import Latest
from napari_cellprompt.widgets.shared.slices import SlicedWork

from .commit import FillCommit
from .job import Drawn, Job

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari.layers import Image, Labels

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["PREVIEW_NAME", "Filling"]

PREVIEW_NAME = "Filled in"


class Filling:
    """The one object that is being filled in, if any.

    Parameters
    ----------
    controller : SegmentController
        Its layers and its mask on screen; it tells the user.
    """

    changed = Signal()
    """Something is being filled in, or no longer."""

    def __init__(self, controller: SegmentController) -> None:
        self._controller = controller
        self._place = controller.place
        self._viewer = controller.place.viewer
        self._preview = StackLabels(self._viewer, PREVIEW_NAME)
        self._latest = Latest(controller.bridge, "cellprompt-fill")
        self._work = SlicedWork(controller.bridge)
        self._job: Job | None = None
        self._ready = False

    @property
    def active(self) -> bool:
        """Whether an object is filled in and neither accepted nor discarded."""
        return self._job is not None

    def start(self) -> None:
        """Fill the selected object in and show it; nothing is written yet."""
        if self._work.busy:
            return
        if self._controller.held:
            self._tell("Accept or discard the propagation first.", warn=True)
            return
        self._end()
        try:
            job = self._asked()
        except CellpromptError as error:
            self._tell(str(error), warn=True)
            return
        self._job = job
        self._tell(f"Filling in object {job.id} ...")
        post = self._controller.bridge.post
        self._latest.ask(
            lambda: job.run(lambda plane, mask: post(self._draw, (job, plane, mask))),
            lambda future: self._arrived(job, future),
        )
        self.changed.emit()

    def accept(self) -> None:
        """Write what is shown, as one step to undo."""
        job = self._job
        if job is None or self._work.busy:
            return
        if not self._ready or job.stack is None:
            self._tell("The object is still being filled in ...")
            return
        try:
            if job.labels not in self._viewer.layers:
                raise LabelsError("The layer with the object is gone.")
            labels = self._place.target(job.stack.image, wanted=job.labels)
            if labels != job.labels:
                raise LabelsError("Nothing was filled in: the object is in another layer.")
            check_writable(labels)
        except CellpromptError as error:
            self._tell(str(error), warn=True)
            return
        commit = FillCommit(self._place.acceptor, labels, job, job.stack)
        self._tell(f"Writing object {job.id} ...")
        self._work.start(commit.work(), lambda error: self._written(job, commit, error))

    def discard(self, text: str = "Nothing was filled in.") -> None:
        """Take the preview away."""
        if self._job is not None and not self._work.busy:
            self._end()
            self._tell(text)

    def close(self) -> None:
        """Stop; what was shown is gone."""
        self._work.stop()
        if self._job is not None:
            self._job.cancel()
        self._job = None
        self._latest.close()

    # -- what is meant -----------------------------------------------------------------
    def _asked(self) -> Job:
        """The object that is selected, and where it may be known."""
        place = self._place
        image, labels = place.chosen.image, self._labels()
        if image is None:
            raise LabelsError("Open an image first.")
        if labels is None:
            raise LabelsError(
                "There is no object yet: paint or accept one on two planes, then V fills "
                "in what is between."
            )
        view = plane_of(self._viewer, image, channel_axis=place.channel_axis)
        axes = stack_axes(image, view)
        if not axes:
            raise LabelsError(f"'{image.name}' has one plane only: nothing lies between.")
        # only where planes lie is looked at, not what is on them
        pixels = Pixels(place.revisions.key(image), place.channel, (0.0, 1.0))
        ways = []
        for axis in axes:
            stack = LayerStack(image, view, axis, **pixels.arguments)
            ways.append((stack, LabelPlanes(labels, stack)))
        return Job(self._id(labels), labels, ways, self._drawn(image, view))

    def _labels(self) -> Labels | None:
        """The Labels layer that is selected, else the one that takes the objects."""
        from napari.layers import Labels

        active = self._viewer.layers.selection.active
        if isinstance(active, Labels) and not is_preview(active):
            return active
        return self._place.chosen.labels

    def _id(self, labels: Labels) -> int:
        """The object of the brush while its layer is selected, else the last accepted."""
        self._place.acceptor.sync(labels)
        last = self._place.acceptor.store(labels).last
        if last is not None and self._viewer.layers.selection.active != labels:
            return last.id
        return int(labels.selected_label)

    def _drawn(self, image: Image, view: PlaneView) -> Drawn | None:
        """The one mask on screen that is not accepted yet."""
        controller = self._controller
        shown, state = controller.proposals.shown, controller.state
        if len(shown) != 1 or controller.waiting or state is None or state.view != view:
            return None
        prompts, candidate = shown[0]
        if candidate.mask.box is None:
            return None
        clicks = [one for one in state.drawn if one.prompts == prompts]
        if not clicks:
            return None
        before = self._place.steps.drawing.known
        return Drawn(
            state.view, candidate.mask, prompts, candidate.score, clicks[-1], before
        )

    # -- what comes back ---------------------------------------------------------------
    def _draw(self, what: tuple[Job, int, CroppedMask]) -> None:
        job, plane, mask = what
        if job is not self._job or job.stack is None:
            return
        if self._preview.layer is None:
            try:
                self._preview.open(job.stack, largest_id=job.id, opacity=0.6)
            except CellpromptError as error:
                self._end()
                self._tell(str(error), warn=True)
                return
        self._preview.draw(plane, job.id, mask)
        view = plane_of(
            self._viewer, job.stack.image, channel_axis=self._place.channel_axis
        )
        if job.stack.number_of(view) == plane:
            self._preview.refresh()

    def _arrived(self, job: Job, future: Future[None]) -> None:
        if job is not self._job:
            return
        message = complaint(future)
        if message is not None or not job.masks:
            self._end()
            self._tell(message or job.message, warn=True)
            return
        self._ready = True
        self._preview.refresh()
        self._tell(job.message)
        self.changed.emit()

    def _written(self, job: Job, commit: FillCommit, error: Exception | None) -> None:
        self._end()
        if error is not None:
            self._tell(str(error), warn=True)
            return
        record = commit.record
        if record is None:
            self._tell(
                f"Nothing was filled in: other objects have all pixels of object {job.id} "
                "there."
            )
            return
        steps, chosen = self._place.steps, self._place.chosen
        before, drawn = steps.drawing.known, job.drawn
        used: dict[str, Any] = {}
        if drawn is not None and job.stack is not None:
            # clicks that came after V are someone else's
            if (
                before is not None
                and drawn.before is not None
                and before.same(drawn.before)
            ):
                remove_drawn(chosen.points, chosen.boxes, [drawn.clicks])
                steps.drawing.start(chosen)
            used = {"image": job.stack.image, "view": drawn.view}
            used |= {"before": before, "chosen": chosen}
        steps.accepted(commit.labels, [record], **used)
        self._controller.refresh()
        self._tell(
            f"Object {job.id}: {commit.pixels} pixels filled in. One undo (Ctrl+Z) takes "
            "all of it back."
        )

    def _tell(self, text: str, warn: bool = False) -> None:
        """Say something that stays while the planes are looked at."""
        self._controller.tell(text, warn, lasting=True)

    def _end(self) -> None:
        job, self._job, self._ready = self._job, None, False
        if job is not None:
            job.cancel()
            self._preview.close()
            self.changed.emit()
