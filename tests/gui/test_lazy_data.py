"""Stacks that are read piece by piece, followed in the real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from tests.fakes import FollowingSegmenter
from tests.gui.test_propagate import Follow
from tests.gui.window import Window
from tests.random_models import random_model
from tests.widgets.propagation import Gate, gate, two_discs

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

__all__ = ["gate"]

SCALE, TRANSLATE = (2.0, 0.5, 0.5), (10.0, -3.0, 7.0)


class LazyStack:
    """16-bit discs in chunks of one plane, and a record of what was read."""

    def __init__(self) -> None:
        self.pixels = two_discs().astype(np.uint16) * 150
        self.reads: set[int] = set()
        """Planes that were read, for whatever reason."""
        self.finest = da.map_blocks(
            self._read,
            chunks=((1,) * len(self.pixels), (96,), (96,)),
            dtype=np.uint16,
            meta=np.empty((0, 0, 0), np.uint16),
        )

    def _read(self, block_info: Any = None) -> np.ndarray:
        plane = block_info[None]["chunk-location"][0]
        self.reads.add(plane)
        return self.pixels[plane : plane + 1]


@pytest.mark.parametrize("pyramid", [False, True], ids=["dask", "multiscale"])
def test_a_lazy_stack_is_followed_at_full_resolution(
    open_window: Callable[[], Window], thread: InferenceThread, gate: Gate, pyramid: bool
) -> None:
    window, lazy = open_window(), LazyStack()
    data = [lazy.finest, lazy.finest[:, ::2, ::2]] if pyramid else lazy.finest
    layer = window.viewer.add_image(
        data,
        multiscale=pyramid,
        name="lazy",
        axis_labels=("z", "y", "x"),
        scale=SCALE,
        translate=TRANSLATE,
        units=("um",) * 3,
        contrast_limits=(0, 33_000),
    )
    window.viewer.dims.set_current_step(0, 3)
    follower = FollowingSegmenter(random_model())
    window.open_widget(SegmentSession(thread=thread, loader=follower.load))
    window.viewer.fit_to_view()
    window.settle()
    lazy.reads.clear()
    window.click(layer, (3, 30, 33))
    window.see_mask()
    follow = Follow(window)
    form = follow.widget.form
    form.span.value = "from"
    form.first.value, form.last.value = 2, 5
    follow.start()
    follow.until("review")
    window.picture(f"lazy_{pyramid}")
    follow.press("accept")
    follow.until("idle")
    assert lazy.reads == {2, 3, 4, 5}
    expected = np.zeros((8, 96, 96), bool)
    expected[2:6] = lazy.pixels[2:6] > 20_000
    expected[:, 48:] = False  # the other disc
    found = follow.labels == 1
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [2, 3, 4, 5]
    # the outline comes from logits at a quarter of the model's input
    wrong = (found != expected)[2:6].sum(axis=(1, 2))
    assert (wrong < 0.1 * expected[2:6].sum(axis=(1, 2))).all()
    shown = window.widget.form.labels.value
    np.testing.assert_allclose(shown.scale, SCALE)
    np.testing.assert_allclose(shown.translate, TRANSLATE)
    assert shown.units == layer.units
