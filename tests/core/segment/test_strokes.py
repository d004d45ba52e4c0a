"""Lines and masks as prompts, asked of both kinds of models."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam.clicks import clicks_along, clicks_of
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.segment.clicks import steps_of
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.load import load_model

Y, X = np.mgrid[:96, :128]
LEFT = (Y - 48) ** 2 + (X - 36) ** 2 < 22**2
RIGHT = (Y - 48) ** 2 + (X - 92) ** 2 < 16**2
ALONG = (tuple((float(x), 48.0) for x in range(22, 51, 4)), 1)


@pytest.fixture(scope="module", params=["cellprompt-focus", "cellprompt-nano"])
def segmenter(request):
    return PlaneSegmenter(load_model(request.param))


@pytest.fixture
def plane():
    rng = np.random.default_rng(0)
    image = 30 + 150 * (LEFT | RIGHT) + rng.normal(0, 6, LEFT.shape)
    return PlaneSource.from_image(np.clip(image, 0, 255).astype(np.uint8))


def overlap(mask, truth):
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


def test_a_line_along_an_object_finds_it(segmenter, plane):
    best = segmenter.predict(plane, Prompts(strokes=(ALONG,))).best
    assert overlap(best.mask.to_plane(), LEFT) > 0.85


def test_a_line_of_background_goes_with_a_click(segmenter, plane):
    away = (((84.0, 48.0), (100.0, 48.0)), 0)
    prompts = Prompts(points=((36.0, 48.0),), labels=(1,), strokes=(away,))
    mask = segmenter.predict(plane, prompts).best.mask.to_plane()
    assert overlap(mask, LEFT) > 0.8
    assert not mask[48, 84:100].any()


def test_a_rough_mask_is_drawn_towards_the_object(segmenter, plane):
    rough = (abs(Y - 46) < 20) & (abs(X - 34) < 20)
    best = segmenter.predict(plane, Prompts(mask=encode(rough))).best
    assert overlap(best.mask.to_plane(), LEFT) > max(0.85, overlap(rough, LEFT))


def test_several_objects_are_answered_as_one_by_one(segmenter, plane):
    rough = (abs(Y - 48) < 13) & (abs(X - 92) < 13)
    objects = [
        Prompts(strokes=(ALONG,)),
        Prompts(mask=encode(rough)),
        Prompts(points=((92.0, 48.0),), labels=(1,)),
    ]
    together = segmenter.predict_many(plane, objects)
    for prompts, answer in zip(objects, together, strict=True):
        alone = segmenter.predict(plane, prompts).best.mask.to_plane()
        # the network of nano rounds differently in a batch
        assert overlap(answer.best.mask.to_plane(), alone) > 0.95


def test_what_is_looked_at_for_a_line_holds_it(segmenter, plane):
    long = (((2.0, 48.0), (60.0, 48.0), (120.0, 48.0)), 1)
    tile = segmenter.model.show(plane, Prompts(strokes=(long,))).tile
    assert tile.holds(2, 48)
    assert tile.holds(120, 48)


def test_lines_are_part_of_every_step():
    prompts = Prompts(points=((1.0, 1.0), (2.0, 2.0)), labels=(0, 1), strokes=(ALONG,))
    steps = steps_of(prompts)
    assert [len(step.points) for step in steps] == [0, 1, 2]
    assert all(step.strokes == (ALONG,) for step in steps)
    away = Prompts(points=((1.0, 1.0),), labels=(1,), strokes=((ALONG[0], 0),))
    assert [len(step.points) for step in steps_of(away)] == [1]


@pytest.mark.parametrize(
    ("path", "count"),
    [
        pytest.param([(3, 3)], 1, id="a point"),
        pytest.param([(0, 0), (3, 0)], 1, id="short"),
        pytest.param([(0, 0), (12, 0)], 3, id="a click every 4 pixels"),
        pytest.param([(0, 0), (100, 0), (100, 100)], 8, id="long"),
    ],
)
def test_clicks_stand_for_a_line_where_a_model_has_no_input_for_it(path, count):
    clicks = clicks_along(path)
    assert len(clicks) == count
    length = np.hypot(*np.diff(path, axis=0).T).sum() if len(path) > 1 else 0
    gaps = np.abs(np.diff(clicks, axis=0)).sum(axis=1)
    assert gaps == pytest.approx(length / count)


def test_clicks_of_a_line_stay_in_the_plane():
    prompts = Prompts(points=((1.0, 2.0),), labels=(1,), strokes=((((0, 5), (80, 5)), 0),))
    clicks = list(clicks_of(prompts, (20, 40)))
    assert clicks[-1] == (1.0, 2.0, 1)
    assert all(x < 40 and label == 0 for x, _, label in clicks[:-1])
    assert len(clicks) == 5


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        pytest.param((((), 1),), "finite pairs", id="empty"),
        pytest.param(((((1, float("nan")),), 1),), "finite pairs", id="not finite"),
        pytest.param(((((1, 2),), 3),), "label of a stroke", id="label"),
    ],
)
def test_lines_that_cannot_be_used(strokes, message):
    with pytest.raises(PromptError, match=message):
        Prompts(strokes=strokes)


def test_lines_beyond_the_plane_and_of_background_alone(segmenter, plane):
    with pytest.raises(PromptError, match="lies outside"):
        segmenter.predict(plane, Prompts(strokes=((((500.0, 5.0), (510.0, 5.0)), 1),)))
    with pytest.raises(PromptError, match="At least one click"):
        segmenter.predict(plane, Prompts(strokes=((ALONG[0], 0),)))
