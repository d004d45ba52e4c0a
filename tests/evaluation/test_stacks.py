"""Scores of objects that are followed, with a propagator whose answers are known."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from tests.followers import discs, follow_bright
from tests.random_models import random_model

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.evaluation.stacks import (
    KnownStack,
    copied,
    prompt_of,
    rank_correlation,
    score_tracks,
    tracks_of,
)
from napari_cellprompt.evaluation.table import summarise


def known(labels: np.ndarray, image: np.ndarray | None = None) -> KnownStack:
    image = (labels > 0).astype(np.uint8) * 200 + 20 if image is None else image
    return KnownStack("discs", ImageStack(image, axes="ZYX"), labels)


def two(planes: int = 6) -> np.ndarray:
    """One object on all planes, largest on plane 2; one on planes 1 to 3."""
    first = {z: (25.0, 25.0, 12.0 - abs(z - 2)) for z in range(planes)}
    labels = (discs([first], (planes, 96, 96)) > 128).astype(np.uint32)
    labels[1:4, 60:80, 60:80] = 4_000_000
    return labels


def test_objects_are_tracks_whatever_their_numbers() -> None:
    labels = two()
    labels[0, 90:95, 90:95] = 3  # on one plane alone
    labels[0:2, 0:2, 90:92] = 5  # nowhere of 9 pixels
    tracks = tracks_of(known(labels))
    assert [track.id for track in tracks] == [1, 4_000_000]
    assert [track.start for track in tracks] == [2, 1]
    assert tracks[1].areas.tolist() == [0, 400, 400, 400, 0, 0]
    assert tracks[1].others == [2, 3]
    assert [track.id for track in tracks_of(known(labels), limit=1)] == [1]


def test_prompts_and_the_copied_mask() -> None:
    labels = two()
    first, second = tracks_of(known(labels))
    assert prompt_of(labels[1] == second.id, "box").box == (60, 60, 80, 80)
    assert prompt_of(labels[1] == second.id, "mask").mask is not None
    assert copied(labels, second) == [1, 1]
    scores = copied(labels, first)
    assert len(scores) == 5 and scores[1] == max(scores) and max(scores) < 1


def test_what_is_followed_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_bright(monkeypatch)
    data = known(two())
    score = score_tracks(PlaneSegmenter(random_model()), data, tracks_of(data), "mask")
    assert (score.objects, score.planes, score.beyond, score.missed) == (2, 7, 0, 0)
    assert score.iou == score.iou_where_it_is > 0.8
    assert score.copied == pytest.approx(
        np.mean([s for track in tracks_of(data) for s in copied(data.labels, track)])
    )
    row = json.loads(json.dumps(asdict(score)))
    table = summarise([], stacks=[score])
    assert table == {"discs": {"from_mask": row["iou"], "copied": row["copied"]}}


def test_masks_beyond_the_end_and_missing_ones_count_as_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follow_bright(monkeypatch)
    labels = two()
    image = (labels > 0).astype(np.uint8) * 200 + 20
    truth = labels.copy()
    truth[4:][truth[4:] == 1] = 0  # the image goes on, the object does not
    image[3, 60:80, 60:80] = 20  # here the object is, but cannot be seen
    data = known(truth, image)
    off = PropagationSettings(
        stop_object_score=0, stop_area_ratio=0, stop_overlap=0, stop_contrast=0
    )
    tracks = tracks_of(data)
    score = score_tracks(PlaneSegmenter(random_model()), data, tracks, "mask", off)
    assert (score.beyond, score.missed) == (2, 1)
    assert score.planes == 3 + 2 + 2
    total = score.iou_where_it_is * 5
    assert score.iou == pytest.approx(total / 7)


def test_rank_correlation_where_it_is_defined() -> None:
    assert rank_correlation([(0.1, 0.2), (0.5, 0.4), (0.9, 0.8)]) == pytest.approx(1)
    assert rank_correlation([(0.1, 0.2), (0.5, 0.1)]) is None
    assert rank_correlation([(0.1, 0.5), (0.5, 0.5), (0.9, 0.5)]) is None
