"""Filled outlines that the image pulls."""

from types import SimpleNamespace

import numpy as np
from tests.core.fill.test_gap import SHAPE, disc, iou

from napari_cellprompt.core.fill.between import Between
from napari_cellprompt.core.fill.looking import LookedAt
from napari_cellprompt.core.masks.crop import cut_candidate, mask_iou
from napari_cellprompt.core.masks.rle import decode


class Seer:
    """Answers with what is there on a plane, or with what it is told."""

    def __init__(self, truth, answer=None):
        self.truth, self.answer, self.asked = truth, answer, []

    def plane(self, index):
        return index

    def predict(self, plane, prompts, *, cancelled=None):
        self.asked.append((plane, decode(prompts.mask)))
        mask = self.truth[plane] if self.answer is None else self.answer
        logits = np.where(mask.to_plane(), 6, -6).astype(np.float32)
        return SimpleNamespace(best=cut_candidate(logits, 0.9, plane_shape=SHAPE))


TRUTH = {z: disc(40, 50, radius) for z, radius in enumerate((10, 15, 17, 18, 12))}


def looked(seer: Seer) -> LookedAt:
    return LookedAt(Between({z: TRUTH[z] for z in (0, 4)}), seer, seer)


def test_a_model_that_is_right_where_it_is_known_pulls_the_outline():
    seer = Seer(TRUTH)
    found = looked(seer)
    assert iou(found.at(2), TRUTH[2]) > iou(found.filled.at(2), TRUTH[2]) + 0.2
    # both ends once, and the plane
    assert [plane for plane, _ in seer.asked] == [0, 4, 2]
    found.at(3)
    assert [plane for plane, _ in seer.asked] == [0, 4, 2, 3]


def test_a_model_that_is_wrong_there_is_not_listened_to():
    seer = Seer(TRUTH, answer=disc(40, 50, 30))
    found = looked(seer)
    np.testing.assert_array_equal(found.at(2).to_plane(), found.filled.at(2).to_plane())
    assert [plane for plane, _ in seer.asked] == [0, 4]


def test_an_answer_elsewhere_is_another_object():
    truth = dict(TRUTH) | {2: disc(15, 15, 9)}
    found = looked(Seer(truth))
    assert iou(found.at(2), found.filled.at(2)) == 1.0


def test_known_planes_are_not_asked_for():
    seer = Seer(TRUTH)
    assert looked(seer).at(4).area == TRUTH[4].area
    assert not seer.asked


def test_overlap_of_masks_apart_is_0():
    assert mask_iou(disc(10, 10, 5), disc(60, 80, 5)) == 0
    assert mask_iou(disc(10, 10, 5), disc(10, 10, 5)) == 1
