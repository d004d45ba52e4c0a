"""What a SAM follower compares across a plane on which the object was not found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.following import FollowSettings, TrackSettings
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.inference.sam.following.views import FieldView
from napari_cellprompt.core.inference.sam.model import SamModel
from napari_cellprompt.core.types import CroppedMask

SHAPE = (64, 64)


@dataclass
class FakeTrack:
    """An object that was last seen on plane 2 and is looked for on plane 4."""

    last: CroppedMask
    expected: CroppedMask
    next: int = 4
    last_plane: int = 2
    moved: tuple[int, int] = (0, 0)
    id: int = 1
    anchor: int = 0
    state: Any = None


def square(x: int) -> CroppedMask:
    return CroppedMask(np.ones((16, 16), bool), (24, x), SHAPE)


@torch.inference_mode()
def test_change_is_told_between_the_planes_on_which_the_object_was(
    model, monkeypatch
) -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 255, (5, *SHAPE), dtype=np.uint8)
    stack[4] = stack[2]
    settings = FollowSettings("field", "neighbour", TrackSettings(), None, None)
    follower = SamModel(model).follower(ImageStack(stack), settings)
    assert isinstance(follower, SamFollower)
    read: list[int] = []
    original = follower.stack.plane

    def plane(index: int) -> Any:
        read.append(index)
        return original(index)

    monkeypatch.setattr(follower.stack, "plane", plane)
    view = FieldView(*SHAPE)
    still = follower._change(FakeTrack(square(24), square(24)), view)
    assert read == [4, 2], "plane 3, on which nothing was found, says nothing"
    assert torch.equal(still, torch.zeros_like(still))
