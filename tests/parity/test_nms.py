"""Which boxes stay, against torchvision."""

from __future__ import annotations

import mended_torchvision  # noqa: F401  before the import below
import pytest
import torch
from tests.core.masks.test_nms import random_boxes

from napari_cellprompt.core.masks.nms import nms

pytestmark = pytest.mark.parity

reference = pytest.importorskip("torchvision.ops").nms


@pytest.mark.parametrize("count", [1, 20, 500], ids="{}boxes".format)
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7], ids="iou{}".format)
def test_nms_equals_that_of_torchvision(count: int, threshold: float) -> None:
    boxes, scores = random_boxes(count, seed=5)
    kept = reference(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert nms(boxes, scores, threshold).tolist() == kept.tolist()
