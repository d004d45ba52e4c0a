"""What the network is asked in training, and what it should answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from napari_cellprompt.core.inference.crops import CHANNELS, Crop, crop_around


@pytest.fixture(scope="module")
def sampler(stack, recipe):
    from napari_cellprompt.core.training.samples import Sampler

    return Sampler(stack.planes, [stack], recipe["samples"])


def drawn(sampler, kind: str, count: int = 40):
    rng = np.random.default_rng(3)
    found = []
    while len(found) < count:
        sample = getattr(sampler, f"_{kind}")(rng)
        if sample is not None:
            found.append(sample)
    return found


def test_every_kind_is_drawn_and_well_formed(sampler):
    rng = np.random.default_rng(0)
    kinds = Counter()
    for _ in range(200):
        sample = sampler.draw(rng)
        kinds[sample.kind] += 1
        assert sample.image.shape == (3, 64, 64) and sample.prompts.shape == (11, 64, 64)
        assert sample.image.dtype == sample.prompts.dtype == np.float32
        assert np.isfinite(sample.image).all() and np.isfinite(sample.prompts).all()
        assert -0.3 <= sample.prompts.min() and sample.prompts.max() <= 1.6
        if sample.whole == 0:
            assert not sample.cover.any()
    assert set(kinds) == {
        "click",
        "box",
        "follow",
        "fix",
        "mask",
        "stroke",
        "nothing",
        "dense",
    }


def test_stacks_are_made_up_by_who_hands_them_out(stack, recipe):
    from napari_cellprompt.core.training.samples import Sampler

    asked = []

    def paint(rng):
        asked.append(rng)
        return stack

    always = recipe["samples"] | {"real_neighbours": 1.0, "painted_stacks": 1.0}
    painting = Sampler(stack.planes, [stack], always, paint_stack=paint)
    assert all(sample.kind == "follow" for sample in drawn(painting, "follow", 5))
    assert len(asked) >= 5
    never = Sampler(stack.planes, [stack], always)
    assert len(drawn(never, "follow", 3)) == 3


def test_clicks_are_on_their_object_at_every_zoom(sampler):
    shares = []
    for sample in drawn(sampler, "click", 80):
        on = sample.cover[sample.prompts[CHANNELS["positive"]] > 0.9]
        assert on.size == 0 or on.max() > 0.3
        shares.append(np.sqrt(sample.whole * 4 / np.pi) / 64)
    assert min(shares) < 0.08 and max(shares) > 1.2


def test_the_whole_object_counts_where_the_crop_cuts_it(sampler):
    cut = [s for s in drawn(sampler, "click", 80) if s.cover.sum() < 0.6 * s.whole]
    assert cut
    assert all(s.weight < 1 for s in cut if s.cover.sum() < 0.4 * s.whole)


def test_boxes_are_exact_or_a_little_off(sampler):
    ratios = []
    for sample in drawn(sampler, "box", 60):
        rows, columns = np.nonzero(sample.cover > 0.5)
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        ratios.append(sample.prompts[CHANNELS["box"]].sum() / area)
    assert 0.7 < min(ratios) < 0.95 and 1.2 < max(ratios) < 2.0
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.12) > 0.3


def test_followed_objects_end_too(sampler):
    samples = drawn(sampler, "follow", 200)
    absent = np.mean([sample.whole == 0 for sample in samples])
    chained = np.mean([sample.chain_image is not None for sample in samples])
    sided = [s for s in samples if s.prompts[CHANNELS["after_nearness"]].any()]
    ahead = [
        s
        for s in samples
        if s.prompts[CHANNELS["after_image"]].any()
        and not s.prompts[CHANNELS["after_nearness"]].any()
    ]
    assert 0.04 < absent < 0.4 and chained > 0.05
    assert sided and ahead
    assert all(s.prompts[CHANNELS["before_nearness"]].any() for s in samples)


def test_nothing_is_nothing(sampler):
    for sample in drawn(sampler, "nothing", 20):
        assert sample.whole == 0 and not sample.cover.any()
        assert sample.prompts[[CHANNELS["positive"], CHANNELS["box"]]].any()


def test_dense_samples_have_no_prompt_and_three_targets(sampler):
    for sample in drawn(sampler, "dense", 10):
        assert not sample.prompts.any() and sample.weight == 0
        foreground, edge, depth = sample.dense
        assert (edge <= foreground).all() and (depth <= 1).all()
        assert depth[foreground == 0].max(initial=0) == 0


def test_batches_say_which_rows_have_more(sampler):
    from napari_cellprompt.core.training.sample import collate

    rng = np.random.default_rng(1)
    batch = collate([sampler.draw(rng) for _ in range(200)])
    assert batch["image"].shape == (200, 3, 64, 64)
    assert len(batch["dense_rows"]) == len(batch["dense"]) > 0
    assert batch["chains"]
    for row, images, prompts in batch["chains"]:
        assert batch["kind"][row] == "follow"
        assert len(images) == len(prompts) and images.shape[1:] == (3, 64, 64)


def test_workers_draw_differently_and_seeds_repeat(sampler):
    from napari_cellprompt.core.training.samples import BatchStream

    first = next(iter(BatchStream(sampler, 2, 5)))["prompts"]
    assert torch.equal(first, next(iter(BatchStream(sampler, 2, 5)))["prompts"])
    assert not torch.equal(first, next(iter(BatchStream(sampler, 2, 6)))["prompts"])


def test_relative_depth_is_one_in_the_middle_of_each_object():
    from napari_cellprompt.core.training.views import dense_target

    ids = np.zeros((40, 40), np.int32)
    ids[4:15, 4:15], ids[4:25, 15:36] = 3, 7
    foreground, edge, depth = dense_target(ids)
    assert depth[9, 9] == depth[14, 25] == 1
    assert edge[8, 14] == edge[8, 15] == 1 and edge[9, 9] == 0
    assert foreground.sum() == (ids > 0).sum()


def test_motion_moves_image_and_mask_together():
    from napari_cellprompt.core.training.planes import make_plane
    from napari_cellprompt.core.training.views import look_at, warped
    from napari_cellprompt.core.training.warps import Warp, random_motion

    labels = np.zeros((120, 120), np.uint16)
    labels[50:74, 40:70] = 1
    plane = make_plane("square", "toy", labels * 100, labels)
    view = look_at(plane, 1, Crop(0, 0, 120, 96))
    still = warped(view, Warp(), 64)
    assert np.allclose(still.cover, view.cover[16:80, 16:80], atol=1e-5)
    moved = warped(view, Warp(shift=(5, -3)), 64)
    rows, columns = np.nonzero(moved.cover > 0.5)
    old_rows, old_columns = np.nonzero(still.cover > 0.5)
    assert rows.mean() - old_rows.mean() == pytest.approx(5, abs=0.01)
    assert columns.mean() - old_columns.mean() == pytest.approx(-3, abs=0.01)
    rng = np.random.default_rng(0)
    bent = warped(view, random_motion(rng, 24, 1.0), 64)
    assert np.corrcoef(bent.image[0].ravel(), bent.cover.ravel())[0, 1] > 0.95


def test_answers_of_the_network_are_imitated_near_the_truth():
    from napari_cellprompt.core.training.clicks import answer_like, rough

    y, x = np.ogrid[:64, :64]
    cover = (np.hypot(y - 30, x - 34) < 12).astype(np.float32)
    ids = cover.astype(np.int32) * 4
    rng = np.random.default_rng(0)
    for make in (lambda: answer_like(cover, ids, 4, rng), lambda: rough(cover, rng)):
        overlaps = []
        for _ in range(30):
            mask = make() > 0.5
            overlaps.append((mask & (cover > 0)).sum() / (mask | (cover > 0)).sum())
        assert 0.5 < np.mean(overlaps) < 0.95 and min(overlaps) > 0.1


def test_corrections_go_where_most_is_wrong():
    from napari_cellprompt.core.training.clicks import correction

    truth = np.zeros((64, 64), bool)
    truth[20:40, 20:40] = True
    missing, extra = truth.copy(), truth.copy()
    missing[20:40, 32:] = False
    extra[20:40, 40:56] = True
    rng = np.random.default_rng(0)
    for answer, label, columns in ((missing, 1, (31, 40)), (extra, 0, (39, 56))):
        for _ in range(5):
            x, y, given = correction(answer, truth, rng)
            assert given == label and columns[0] <= x <= columns[1] and 19 <= y <= 40
    assert correction(truth, truth, rng) is None


def test_strokes_stay_inside():
    from napari_cellprompt.core.training.clicks import stroke

    mask = np.zeros((64, 64), bool)
    mask[10:50, 25:35] = True
    path = stroke(mask, np.random.default_rng(0))
    assert mask[path[:, 1].astype(int), path[:, 0].astype(int)].all()
    assert stroke(np.zeros((64, 64), bool), np.random.default_rng(0)) is None


def test_looks_leave_what_is_outside(stack):
    from napari_cellprompt.core.training.views import look_at, random_look

    view = look_at(stack.planes[0], 1, crop_around((0, 0, 20, 20), 0.4, 64))
    outside = view.image == 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        changed = random_look(rng, False).apply(view.image, rng)
        assert not changed[outside].any() and -0.3 <= changed.min() <= changed.max() <= 1.6
