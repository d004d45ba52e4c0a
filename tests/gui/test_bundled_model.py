"""The bundled model in the real window, on a real image."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.gui.test_interaction import KINDS, load, middles
from tests.gui.window import Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

WEIGHTS = files("napari_cellprompt.core.zoo") / "weights" / "cellprompt-focus.safetensors"


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="there are no bundled weights yet")
def test_click_to_mask_with_the_bundled_model(
    data_folder: Path, open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    kind = KINDS[0]
    image, truth = load(kind, data_folder)
    window = open_window()
    layer = window.viewer.add_image(image, name=kind.name, scale=kind.scale)
    layer.contrast_limits = (0, int(np.percentile(image, 99.9)))
    widget = window.open_widget(SegmentSession(thread=thread))
    places = [place for place in middles(truth, 60) if window.shows(layer, place)][:5]
    overlaps = []
    for number, place in enumerate(places, start=1):
        window.click(layer, place)
        window.see_mask()
        window.picture(f"bundled_{number}")
        mask = widget.controller.candidate.mask.to_plane()
        found = truth == truth[place]
        overlaps.append((mask & found).sum() / (mask | found).sum())
        window.key(Qt.Key.Key_A)
    window.picture("bundled_accepted")
    assert window.actions == 2 + 2 * len(places)
    assert np.median(overlaps) > 0.5
    written = np.unique(widget.form.labels.value.data)
    assert written.max() <= len(places)


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="there are no bundled weights yet")
def test_the_picture_of_the_readme(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    """Accept some of the simulated nuclei; ``CELLPROMPT_SCREENSHOTS`` keeps the picture."""
    from napari_cellprompt._sample_data import nuclei_2d, nuclei_2d_truth

    window = open_window()
    data, meta, _ = nuclei_2d()[0]
    truth = nuclei_2d_truth()[0][0]
    layer = window.viewer.add_image(data, **meta)
    widget = window.open_widget(SegmentSession(thread=thread))
    window.viewer.reset_view()
    window.settle()
    places = [place for place in middles(truth, 60) if window.shows(layer, place)][:14]
    overlaps = []
    for number, place in enumerate(places, start=1):
        window.click(layer, place)
        window.see_mask()
        mask = widget.controller.candidate.mask.to_plane()
        found = truth == truth[place]
        overlaps.append((mask & found).sum() / (mask | found).sum())
        if number < len(places):
            window.key(Qt.Key.Key_A)
    window.picture("segment")
    assert np.median(overlaps) > 0.5
