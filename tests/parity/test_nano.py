"""The sam2 package runs ``cellprompt-nano`` from an equivalent configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import (
    assert_logits_agree,
    build_reference,
    random_reference,
    reference_predictor,
    save_meta,
    scale_of,
)

from napari_cellprompt.core.inference.sam.drawing import draw_prompts
from napari_cellprompt.core.inference.sam.encoding.preprocess import (
    normalise,
    resize_square,
)
from napari_cellprompt.core.zoo import load
from napari_cellprompt.core.zoo.load import LoadedModel, load_model, save_checkpoint
from napari_cellprompt.core.zoo.registry import MODELS, DrawingSpec

pytestmark = pytest.mark.parity

BUNDLED = Path(load.__file__).parent / "weights" / "cellprompt-nano.safetensors"


@pytest.fixture(scope="module", params=["random", "bundled"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LoadedModel:
    """Random or trained weights, out of a file of our own."""
    if request.param == "bundled":
        if not BUNDLED.is_file():
            pytest.skip("the bundled weights are not built yet")
        return load_model("cellprompt-nano", device="cpu")
    state = random_reference("cellprompt-nano", image_size=512).state_dict()
    spec = MODELS["cellprompt-nano"]
    path = tmp_path_factory.mktemp("own") / "random.safetensors"
    save_checkpoint(path, state, spec)
    return load_model(path, device="cpu")


@pytest.fixture(scope="module")
def reference(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same weights, written in Meta's format and loaded by Meta's package."""
    path = save_meta(model.network, tmp_path_factory.mktemp("meta") / "nano.pt")
    return build_reference("cellprompt-nano", image_size=512, checkpoint=path)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Bright discs on a dark noisy ground, ``(300, 420, 3)`` uint8."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:300, :420]
    grey = rng.normal(30, 5, (300, 420))
    for cy, cx in [(60, 80), (150, 200), (220, 330), (90, 300)]:
        grey += 120 / (1 + np.exp((np.hypot(y - cy, x - cx) - 25) / 2))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "single"])
@pytest.mark.parametrize("prompt", ["click", "box"])
def test_masks_of_drawn_prompts_are_equal(
    model: LoadedModel, reference: Any, picture: np.ndarray, prompt: str, multimask: bool
) -> None:
    height, width = picture.shape[:2]
    to_input = torch.tensor([512 / width, 512 / height])
    if prompt == "click":
        points, labels = torch.tensor([[[200.0, 150.0]]]), torch.tensor([[1]])
        given = {"point_coords": points[0].numpy(), "point_labels": labels[0].numpy()}
    else:
        points = torch.tensor([[[170.0, 120.0], [230.0, 180.0]]])
        labels = torch.tensor([[2, 3]])
        given = {"box": points.reshape(4).numpy()}
    points = points * to_input
    drawing = model.spec.drawing or DrawingSpec(16.0, 1.5)
    drawn = draw_prompts(
        points, labels, 512, amplitude=drawing.amplitude, sigma=drawing.sigma
    )

    predictor = reference_predictor(reference)
    predictor.set_image(picture)
    _, scores, low_res = predictor.predict(
        **given,
        mask_input=drawn[0].numpy(),
        multimask_output=multimask,
        return_logits=True,
    )

    features = model.network.image_features(normalise(resize_square(picture, 512)[None]))
    ours = model.network.decode(features, None, points, labels, drawn, multimask=multimask)
    expected = torch.from_numpy(low_res)[None]
    assert_logits_agree(ours.masks.clamp(-32, 32), expected)
    torch.testing.assert_close(ours.iou[0], torch.from_numpy(scores), rtol=0, atol=1e-5)
    assert scale_of(expected) > 1


def test_memory_runs_in_the_reference(model: LoadedModel, reference: Any) -> None:
    """Its memory attention takes the small widths and agrees with ours."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 1024, 128, generator=generator)
    memory = torch.randn(1, 1024 + 2, 64, generator=generator)
    expected = reference.memory_attention(
        curr=x.transpose(0, 1),
        curr_pos=torch.zeros_like(x).transpose(0, 1),
        memory=memory.transpose(0, 1),
        memory_pos=torch.zeros_like(memory).transpose(0, 1),
        num_obj_ptr_tokens=2,
    ).transpose(0, 1)
    ours = model.network.memory_attention(
        x, torch.zeros_like(x), memory, torch.zeros_like(memory), grids=[(32, 1)]
    )
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_the_reference_builds_its_video_predictor(
    model: LoadedModel, tmp_path: Path
) -> None:
    path = save_meta(model.network, tmp_path / "nano.pt")
    video = build_reference("cellprompt-nano", image_size=512, checkpoint=path, video=True)
    assert type(video).__name__ == "SAM2VideoPredictor"
    assert video.hidden_dim == 128
