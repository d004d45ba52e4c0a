"""Writes a filled object into its Labels layer, as one undo step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.labels.commit_stack import PlaneMask, commit_many
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Labels

    from napari_cellprompt.layers.labels.accept import Acceptor
    from napari_cellprompt.layers.labels.commit import CommitResult
    from napari_cellprompt.layers.stacks import LayerStack

    from .job import Job

__all__ = ["FillCommit"]


class FillCommit:
    """One filled object on its way into a layer.

    Parameters
    ----------
    acceptor : Acceptor
        Remembers objects.
    labels : napari.layers.Labels
        Where to write.
    job : Job
        That has run.
    stack : LayerStack
        Its planes.
    """

    def __init__(
        self, acceptor: Acceptor, labels: Labels, job: Job, stack: LayerStack
    ) -> None:
        self.labels = labels
        self.record: ObjectRecord | None = None
        """What the object is now; None where nothing was written."""
        self.pixels = 0
        self._acceptor = acceptor
        self._job = job
        self._stack = stack
        self._planes: list[ObjectPlane] = []
        self._changed: tuple[int, ...] | None = None

    def work(self) -> Generator[None, None, None]:
        """Write plane by plane; what was written is one step of the layer's undo.

        Raises
        ------
        LabelsError
            The layer cannot take the masks.
        """
        job, stack = self._job, self._stack
        self._acceptor.sync(self.labels)
        entries = (
            PlaneMask(job.id, stack.view_at(plane), job.masks[plane].mask())
            for plane in sorted(job.masks)
        )
        writing = commit_many(self.labels, entries, "keep", image=stack.image)
        try:
            for plane, result in zip(sorted(job.masks), writing, strict=False):
                self._note(plane, result)
                yield
            # The layer announces its new step when the generator comes to its end.
            next(writing, None)
        finally:
            writing.close()
            self._remember()

    def _note(self, plane: int, result: CommitResult) -> None:
        if not result.written:
            return
        if result.changed is not None:
            self._changed = self._changed or result.changed
            self.pixels += result.written
        drawn, prompts, score = self._job.drawn, Prompts(), 1.0
        if drawn is not None and self._stack.number_of(drawn.view) == plane:
            prompts, score = drawn.prompts, drawn.score
        box = self._job.masks[plane].box or (0, 0, 0, 0)
        key = self._stack.plane(plane).key
        self._planes.append(ObjectPlane(key, prompts, score, result.written, box))

    def _remember(self) -> None:
        if not self._planes or self._changed is None:
            return
        before = self._acceptor.store(self.labels).get(self._job.id)
        new = {plane.key for plane in self._planes}
        old = [] if before is None else before.planes
        planes = (*(plane for plane in old if plane.key not in new), *self._planes)
        parent = None if before is None else before.parent
        self.record = ObjectRecord(self._job.id, planes, parent)
        self._acceptor.remember(self.labels, self.record, self._changed)
        self._acceptor.ids.know(self.labels, self._job.id)
