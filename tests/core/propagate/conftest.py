from __future__ import annotations

import pytest
from tests.followers import follow_bright

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter


@pytest.fixture
def engine(model, monkeypatch):
    """Makes an engine for a stack; what it looked at is in ``SamFollower.looked``."""
    follow_bright(monkeypatch)

    def make(stack, **settings):
        SamFollower.looked.clear()
        return StackPropagator(
            PlaneSegmenter(model), ImageStack(stack), PropagationSettings(**settings)
        )

    return make
