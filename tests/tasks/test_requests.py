from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.evaluation.request import EvaluateRequest
from napari_cellprompt.tasks.requests import (
    EverythingRequest,
    FewshotRequest,
    PropagateRequest,
    SegmentRequest,
)

FILES = {"image": Path("a.tif"), "output": Path("b.tif")}
REQUESTS = [
    SegmentRequest(**FILES, prompts=Path("p.json"), contrast=(1.0, 9.0), along="t"),
    PropagateRequest(**FILES, seeds=Path("s.tif"), settings=PropagationSettings(lean=0.5)),
    EverythingRequest(**FILES, filters=FilterSettings(min_area=9), channel=1),
    FewshotRequest(
        folder=Path("in"), output=Path("out"), examples=((Path("i"), Path("l")),)
    ),
    EvaluateRequest(folder=Path("in"), parts=("stacks",)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda item: type(item).__name__)
def test_requests_are_frozen_and_travel(request_) -> None:
    assert pickle.loads(pickle.dumps(request_)) == request_
    with pytest.raises(FrozenInstanceError):
        request_.model = "other"
    assert not hasattr(request_, "__dict__")
    assert replace(request_, device="cpu") != request_
