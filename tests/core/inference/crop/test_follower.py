"""The crop-wise follower: where it looks and what it shows of known planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.crop.follower import CropFollower, CropFollowSettings
from napari_cellprompt.core.inference.crop.looking import Seen
from napari_cellprompt.core.inference.following import FollowSettings
from napari_cellprompt.core.inference.sam.object_memory import TrackSettings
from napari_cellprompt.core.types import CroppedMask

SHAPE = (90, 120)


@dataclass
class Known:
    """An object that is known on some planes."""

    masks: dict[int, CroppedMask]
    next: int
    last_plane: int
    moved: tuple[int, int] = (0, 0)
    beyond: int | None = None
    id: int = 1
    anchor: int = 0
    step: int = 1
    state: Any = None
    anchors: list[int] = field(default_factory=list)

    @property
    def last(self) -> CroppedMask:
        return self.masks[self.last_plane]

    @property
    def expected(self) -> CroppedMask:
        y, x = self.last.origin
        origin = (y + self.moved[0], x + self.moved[1])
        return CroppedMask(self.last.data, origin, SHAPE)

    def mask_on(self, plane: int) -> CroppedMask | None:
        return self.masks.get(plane)


class Copying:
    """Stands in for the network: answers with nothing, and keeps what it was asked."""

    size = 64

    def __init__(self, logit: float = 0.0) -> None:
        self.logit = logit
        self.asked: list[Any] = []

    def look(self, plane: Any, asks: Any, cancelled: Any = None) -> list[Seen]:
        self.asked += asks
        answer = np.full((self.size, self.size), self.logit, np.float32)
        return [Seen(item.crop, answer, 0.8, 0.25) for item in asks]


def square(y: int = 40, x: int = 50, side: int = 12) -> CroppedMask:
    return CroppedMask(np.ones((side, side), bool), (y, x), SHAPE)


@pytest.fixture
def stack() -> ImageStack:
    image = np.random.default_rng(0).integers(0, 255, (9, *SHAPE), dtype=np.uint8)
    return ImageStack(image)


def test_the_plane_before_is_shown_where_the_object_was(stack: ImageStack) -> None:
    looker = Copying()
    follower = CropFollower(looker, stack)
    track = Known({2: square()}, next=3, last_plane=2, moved=(5, -7))
    list(follower.look(3, [track]))
    (asked,) = looker.asked
    crop, before = asked.crop, asked.prompts["before"]
    # the crop lies about where the object is expected
    assert abs(crop.y0 + crop.side / 2 - (40 + 5 + 6)) <= 1
    assert abs(crop.x0 + crop.side / 2 - (50 - 7 + 6)) <= 1
    assert before.origin == (45, 43)
    assert before.distance == 1.0
    y0, x0 = before.image_origin
    plane = stack.plane(2).read_raw(0, SHAPE[0], 0, SHAPE[1])
    rows, columns = before.image.shape
    shown = plane[y0 - 5 : y0 - 5 + rows, x0 + 7 : x0 + 7 + columns]
    np.testing.assert_array_equal(before.image, shown)
    assert "after" not in asked.prompts


@pytest.mark.parametrize(("beyond", "shown"), [(5, True), (8, False), (None, False)])
def test_a_vouched_plane_ahead_is_shown_when_it_is_near(
    stack: ImageStack, beyond: int | None, shown: bool
) -> None:
    looker = Copying()
    follower = CropFollower(looker, stack)
    masks = {2: square(), **({} if beyond is None else {beyond: square(42)})}
    list(follower.look(3, [Known(masks, next=3, last_plane=2, beyond=beyond)]))
    prompts = looker.asked[0].prompts
    assert ("after" in prompts) is shown
    if shown:
        assert prompts["after"].distance == 2.0
        assert prompts["after"].origin == (42, 50)


def test_an_undecided_answer_is_the_mask_before(stack: ImageStack) -> None:
    follower = CropFollower(Copying(logit=0.0), stack)
    track = Known({2: square()}, next=3, last_plane=2)
    ((_, sighting),) = follower.look(3, [track])
    np.testing.assert_array_equal(sighting.candidate.mask.to_plane(), square().to_plane())
    assert sighting.presence == 0.25
    plain = CropFollower(Copying(logit=2.0), stack, CropFollowSettings(lean=0.0))
    ((_, sighting),) = plain.look(3, [track])
    assert sighting.candidate.mask.area > square().area


def test_objects_of_a_plane_are_looked_at_together(stack: ImageStack) -> None:
    looker = Copying()
    tracks = [
        Known({2: square(y)}, next=3, last_plane=2, id=number)
        for number, y in enumerate((5, 40, 70), start=1)
    ]
    found = list(CropFollower(looker, stack).look(3, tracks))
    assert [track.id for track, _ in found] == [1, 2, 3]
    assert len(looker.asked) == 3


def test_memory_is_not_offered(stack: ImageStack) -> None:
    from napari_cellprompt.core.inference.crop.model import CropModel

    class Model(CropModel):
        def __init__(self) -> None:
            self.looker = Copying()
            self.loaded = SimpleNamespace(spec=SimpleNamespace(name="focus"))

    track = TrackSettings()
    settings = FollowSettings("auto", "memory", track, None, None)
    with pytest.raises(PromptError, match="focus has no memory"):
        Model().follower(stack, settings)
    other = FollowSettings("auto", "auto", track, None, None)
    assert isinstance(Model().follower(stack, other), CropFollower)
