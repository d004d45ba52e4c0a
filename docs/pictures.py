"""Pictures of the four verbs, taken from the real window with the bundled models.

``python docs/pictures.py [NAME ...]`` (under ``xvfb-run -a -s "-screen 0 1280x800x24"`` where
there is no display) writes ``docs/segment.png``, ``everything.png``, ``propagate.png`` and
``few_shot.png``; each in a process of its own when no name is given.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PATIENCE = 600
"""Seconds that a step may take."""


def wait(condition: Callable[[], Any]) -> None:
    """Run the event loop until something is true."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        QTest.qWait(20)


def settle(seconds: float = 0.6) -> None:
    """Let the window draw."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(seconds * 1000))


def middles(truth: np.ndarray, least: int = 60) -> list[tuple[int, ...]]:
    """The innermost pixel of each object of a plane, the largest objects first."""
    from scipy.ndimage import distance_transform_edt

    ids, areas = np.unique(truth[truth > 0], return_counts=True)
    places = []
    for number in ids[np.argsort(-areas)][: (areas >= least).sum()]:
        depth = distance_transform_edt(np.pad(truth == number, 1))[1:-1, 1:-1]
        places.append(tuple(int(i) for i in np.unravel_index(depth.argmax(), depth.shape)))
    return places


class Desk:
    """A window with an image and the widget *Segment*."""

    def __init__(self, sample: Any) -> None:
        import napari

        from napari_cellprompt.widgets.segment.widget import SegmentWidget

        data, meta, _ = sample()[0]
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        self.layer = self.viewer.add_image(data, **meta)
        self.segment = SegmentWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.segment, name="Segment (Cellprompt)")
        wait(lambda: self.segment.controller.model is not None)
        self.viewer.fit_to_view()
        settle()

    def click(self, place: tuple[int, ...]) -> None:
        """Click an object and wait for its mask."""
        controller = self.segment.controller
        self.segment.form.points.value.add([place])
        controller.refresh()
        wait(lambda: controller.prediction is not None and not controller.waiting)

    def take(self, name: str) -> None:
        """Keep what the window shows."""
        settle(1.5)
        path = HERE / f"{name}.png"
        self.viewer.screenshot(path, canvas_only=False, flash=False)
        print(path)
        self.viewer.close()


def segment() -> None:
    """Some nuclei accepted, one on screen."""
    from napari_cellprompt._sample_data import nuclei_2d, nuclei_2d_truth

    desk = Desk(nuclei_2d)
    places = middles(np.asarray(nuclei_2d_truth()[0][0]))[:14]
    for number, place in enumerate(places, start=1):
        desk.click(place)
        if number < len(places):
            desk.segment.accept()
    desk.take("segment")


def everything() -> None:
    """What is found without a prompt, before it is accepted."""
    from napari_cellprompt._sample_data import nuclei_2d
    from napari_cellprompt.widgets.shared.docks import open_dock

    desk = Desk(nuclei_2d)
    widget = open_dock(desk.viewer, "Everything")
    settle()
    widget.buttons["run"].click()
    wait(lambda: widget.controller.settled)
    desk.take("everything")


def propagate() -> None:
    """A nucleus followed through a stack, and the strip."""
    from napari_cellprompt._sample_data import nuclei_3d, nuclei_3d_truth
    from napari_cellprompt.widgets.shared.docks import open_dock

    desk = Desk(nuclei_3d)
    truth = np.asarray(nuclei_3d_truth()[0][0])
    plane = truth.shape[0] // 2
    desk.viewer.dims.set_current_step(0, plane)
    settle()
    desk.click((plane, *middles(truth[plane])[0]))
    widget = open_dock(desk.viewer, "Propagate")
    settle()
    widget.start()
    wait(lambda: widget.desk.stage in ("announced", "running", "review"))
    if widget.desk.stage == "announced":
        widget.start()
    wait(lambda: widget.desk.stage == "review")
    desk.take("propagate")


def few_shot() -> None:
    """Three nuclei as examples, and all that look like them."""
    from napari_cellprompt._sample_data import nuclei_2d, nuclei_2d_truth
    from napari_cellprompt.widgets.shared.docks import open_dock

    desk = Desk(nuclei_2d)
    truth = np.asarray(nuclei_2d_truth()[0][0])
    shown = [int(truth[place]) for place in middles(truth)[:3]]
    grid = {"scale": desk.layer.scale, "units": desk.layer.units}
    examples = desk.viewer.add_labels(
        np.where(np.isin(truth, shown), truth, 0), name="examples", **grid
    )
    widget = open_dock(desk.viewer, "Few-shot")
    settle()
    widget.form.labels.value = examples
    widget.form.which.value = "all"
    widget.buttons["teach"].click()
    wait(lambda: widget.controller.settled)
    widget.buttons["find"].click()
    wait(lambda: widget.controller.settled)
    desk.take("few_shot")


PICTURES = {
    picture.__name__: picture for picture in (segment, everything, propagate, few_shot)
}

if __name__ == "__main__":
    if len(sys.argv) == 2:
        PICTURES[sys.argv[1]]()
    else:
        for name in sys.argv[1:] or PICTURES:
            subprocess.run([sys.executable, __file__, name], check=True)
