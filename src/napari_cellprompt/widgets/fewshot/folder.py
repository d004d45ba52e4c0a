"""Applies examples to the images of a folder, one job an image."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_cellprompt.core.fewshot.examples import ExampleBank
    from napari_cellprompt.session.thread import JobContext
    from napari_cellprompt.tasks.examples.files import LabelledFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits
    from napari_cellprompt.tasks.series import Series

__all__ = ["FolderRun"]


@dataclass(slots=True)
class FolderRun:
    """One application of the examples to the images of a folder."""

    series: Series
    images: tuple[Path, ...]
    bank: ExampleBank
    threshold: float
    channel: int | None
    limits: ContrastLimits
    """Those of the image on screen, so that files look as the examples do."""
    done: list[LabelledFile] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def summary(self) -> str:
        """What to tell the user at the end."""
        bad = [item for item in self.done if item.problem is not None]
        good = len(self.done) - len(bad)
        text = f"{sum(item.objects for item in self.done)} objects in {good} images."
        if bad:
            text += f" {bad[0].path.name}: {bad[0].problem}"
            text += f" And {len(bad) - 1} more." if len(bad) > 1 else ""
        if len(self.done) < len(self.images):
            return f"Stopped: {text} Find in a folder again goes on from here."
        return f"{text} Look through them with Series, finished images included."

    def job(self, segmenter: Any, context: JobContext) -> list[LabelledFile]:
        """Label the next image; on the inference thread."""
        from napari_cellprompt.tasks.examples.files import label_series

        return list(
            label_series(
                segmenter,
                self.series,
                self.images[len(self.done) :][:1],
                self.bank,
                threshold=self.threshold,
                channel=self.channel,
                limits=self.limits,
                cancelled=lambda: self.stop.is_set() or context.cancelled(),
            )
        )
