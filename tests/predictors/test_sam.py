"""``Predictor`` and the network behind it, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cellprompt.core.errors import CheckpointError, PromptError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.networks.build import build_sam1
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.load import LoadedModel, load_model
from napari_cellprompt.predictors.sam import Predictor

SIDE = 128
SMALL = {"embed_dim": 32, "depth": 2, "heads": 2, "global_blocks": (1,)}


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    network = build_sam1(image_size=SIDE, native_size=SIDE, **SMALL).eval()
    with torch.no_grad():
        for parameter in network.mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
    return network


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as published: tensors by name, MLP layers called lin1 and lin2."""
    path = tmp_path_factory.mktemp("sam") / "weights.pth"
    names = small_network().state_dict()
    state = {
        name.replace(".mlp.layers.0.", ".mlp.lin1.").replace(
            ".mlp.layers.1.", ".mlp.lin2."
        ): tensor
        for name, tensor in names.items()
    }
    assert set(state) != set(names)
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> LoadedModel:
    return load_model(file, image_size=SIDE, device="cpu")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (60, 90, 3), dtype=np.uint8)


@pytest.fixture
def predictor(model: LoadedModel, image: np.ndarray) -> Predictor:
    predictor = Predictor(overrides={"device": "cpu"})
    predictor.setup_model(model, verbose=False)
    predictor.set_image(image)
    return predictor


def test_what_a_file_holds_is_read_from_its_tensors(model: LoadedModel) -> None:
    assert model.spec.family == "sam1"
    assert {k: model.spec.network[k] for k in SMALL} == SMALL
    assert model.spec.network["native_size"] == SIDE


def test_training_checkpoints_of_micro_sam_load(file: Path, tmp_path: Path) -> None:
    state = torch.load(file, weights_only=True)
    path = tmp_path / "best.pt"
    torch.save({"model_state": {f"sam.{k}": v for k, v in state.items()}}, path)
    loaded = load_model(path, image_size=SIDE, device="cpu")
    first = next(iter(loaded.network.state_dict().values()))
    assert torch.equal(first, next(iter(small_network().state_dict().values())))


def test_other_input_sizes_interpolate_positions(file: Path) -> None:
    network = load_model(file, image_size=192, device="cpu").network
    with torch.no_grad():
        assert network.image_features(torch.zeros(1, 3, 192, 192)).embed.shape[-1] == 12


def test_mobile_sam_builds_and_drops_its_classifier(tmp_path: Path) -> None:
    network = build_sam1(encoder="tiny_vit", image_size=SIDE)
    state = dict(network.state_dict())
    state["image_encoder.norm_head.weight"] = torch.zeros(320)
    state["image_encoder.head.weight"] = torch.zeros(1000, 320)
    path = tmp_path / "any.pt"
    torch.save(state, path)
    loaded = load_model(path, image_size=SIDE, device="cpu")
    assert loaded.spec.network["encoder"] == "tiny_vit"
    with torch.no_grad():
        found = loaded.network.image_features(torch.zeros(1, 3, SIDE, SIDE))
    assert found.embed.shape == (1, 256, SIDE // 16, SIDE // 16)


def test_a_model_without_memory_says_so(model: LoadedModel) -> None:
    with pytest.raises(CheckpointError, match="no memory"):
        _ = model.with_memory


@pytest.mark.parametrize(
    ("shape", "scaled"),
    [((60, 90), (85, 128)), ((90, 60), (128, 85)), ((5, 5), (128, 128))],
)
def test_the_longest_side_is_scaled(
    predictor: Predictor, shape: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert predictor._whole.scaled_shape(shape) == scaled


def test_padding_is_zero_after_normalising(predictor: Predictor) -> None:
    assert predictor.im is not None
    assert predictor.im.shape == (1, 3, SIDE, SIDE)
    assert not predictor.im[:, :, 85:].any() and predictor.im[:, :, :85].any()


def test_masks_have_the_size_of_the_image(predictor: Predictor) -> None:
    result = predictor(points=[[20, 30], [60, 40]])[0]
    assert result.masks.data.shape == (2, 60, 90)
    logits, scores = predictor.prompt_inference(
        None, bboxes=[10, 10, 50, 50], multimask_output=True
    )
    assert logits.shape == (3, SIDE // 4, SIDE // 4) and scores.shape == (3,)


def test_a_box_and_its_points_pair_up(predictor: Predictor) -> None:
    both, _ = predictor.prompt_inference(
        None, bboxes=[[10, 10, 50, 50]], points=[[[30, 30], [5, 5]]], labels=[[1, 0]]
    )
    alone, _ = predictor.prompt_inference(None, bboxes=[[10, 10, 50, 50]])
    assert both.shape == alone.shape and not torch.equal(both, alone)


def test_masks_at_image_size_are_prompts(predictor: Predictor) -> None:
    mask = np.zeros((1, 60, 90), bool)
    mask[0, 10:40, 20:60] = True
    logits, _ = predictor.prompt_inference(None, masks=mask)
    other, _ = predictor.prompt_inference(None, masks=~mask)
    assert not torch.equal(logits, other)


def test_features_from_earlier_give_the_same(predictor: Predictor) -> None:
    expected = predictor(points=[20, 30])[0].masks.data
    masks, boxes = predictor.inference_features(
        predictor.features, (60, 90), points=[20, 30]
    )
    assert np.array_equal(np.asarray(masks), np.asarray(expected))
    assert boxes.shape == (1, 6)


def test_prompts_outside_the_image_are_refused(predictor: Predictor) -> None:
    with pytest.raises(PromptError, match="outside"):
        predictor(points=[500, 30])


def test_a_sam2_model_is_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="sam1"):
        Predictor(overrides={"device": "cpu"}).setup_model(
            load_model(device="cpu"), verbose=False
        )


def test_the_plane_segmenter_takes_it(model: LoadedModel, image: np.ndarray) -> None:
    segmenter = PlaneSegmenter(model)
    plane = PlaneSource.from_image(image)
    found = segmenter.predict(plane, Prompts(points=((20.0, 30.0),), labels=(1,)))
    assert len(found.candidates) == 3
    assert found.best.mask.plane_shape == (60, 90)
    boxed = segmenter.predict(plane, Prompts(box=(10.0, 10.0, 50.0, 50.0)))
    assert boxed.object_score > 0.99, "SAM 1 knows no absent objects"
