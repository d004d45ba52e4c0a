"""The names in Hugging Face's files against those in Meta's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.huggingface import is_huggingface, to_meta
from napari_cellprompt.core.zoo.load import load_model
from napari_cellprompt.core.zoo.registry import NETWORKS

KEYS = Path(__file__).parent / "keys"


def read_layout(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes as transformers 5.23 and sam2 1.1 list them."""
    lines = (KEYS / f"{name}.txt").read_text().splitlines()
    return {
        key: ast.literal_eval(shape)
        for key, shape in (line.split(" ", 1) for line in lines)
    }


@pytest.fixture(scope="module")
def meta() -> dict[str, tuple[int, ...]]:
    return read_layout("sam2.1_hiera_tiny")


@pytest.fixture(scope="module")
def huggingface() -> dict[str, tuple[int, ...]]:
    return read_layout("sam2.1_hiera_tiny_huggingface")


def test_mapping_is_one_to_one_with_equal_shapes(
    meta: dict[str, tuple[int, ...]], huggingface: dict[str, tuple[int, ...]]
) -> None:
    state = {name: torch.empty(shape, device="meta") for name, shape in huggingface.items()}
    renamed = to_meta(state)
    assert {name: tuple(tensor.shape) for name, tensor in renamed.items()} == meta
    # 469 names there: the point embeddings are one tensor of four rows, and the
    # positional encoding is stored twice.
    assert len(huggingface) == 469 == len(meta) - 3 + 1


@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_a_file_of_theirs_loads_as_the_same_network(
    huggingface: dict[str, tuple[int, ...]], tmp_path: Path, version: str
) -> None:
    torch.manual_seed(0)
    arguments = {**NETWORKS["tiny"], "version": version}
    state = build_sam2(**arguments).state_dict()
    theirs = {}
    for name in huggingface:
        if name == "prompt_encoder.point_embed.weight":
            rows = [f"sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(4)]
            theirs[name] = torch.cat([state[row] for row in rows])
        elif name == "shared_image_embedding.positional_embedding":
            theirs[name] = torch.zeros(2, 128)  # the copy, not to be used
        else:
            (ours,) = to_meta({name: torch.zeros(1)})
            if ours in state:  # 2.0 has three tensors less
                theirs[name] = state[ours]
    path = tmp_path / "model.safetensors"
    save_file(theirs, path)
    model = load_model(path, image_size=256, device="cpu")
    assert model.network.version == version
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_rows_of_the_point_embedding_keep_their_order() -> None:
    points = torch.arange(12.0).reshape(4, 3)
    renamed = to_meta({"prompt_encoder.point_embed.weight": points})
    for index in range(4):
        row = renamed[f"sam_prompt_encoder.point_embeddings.{index}.weight"]
        assert row.tolist() == points[index : index + 1].tolist()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # Equal shapes, so that only the name tells them apart.
        (
            "mask_decoder.iou_prediction_head.proj_in.weight",
            "sam_mask_decoder.iou_prediction_head.layers.0.weight",
        ),
        (
            "mask_decoder.iou_prediction_head.layers.0.weight",
            "sam_mask_decoder.iou_prediction_head.layers.1.weight",
        ),
        ("object_pointer_proj.proj_out.bias", "obj_ptr_proj.layers.2.bias"),
        (
            "vision_encoder.backbone.blocks.3.layer_norm2.bias",
            "image_encoder.trunk.blocks.3.norm2.bias",
        ),
        (
            "memory_encoder.mask_downsampler.layers.2.layer_norm.weight",
            "memory_encoder.mask_downsampler.encoder.7.weight",
        ),
        (
            "memory_attention.layers.1.self_attn.o_proj.weight",
            "memory_attention.layers.1.self_attn.out_proj.weight",
        ),
        ("no_memory_embedding", "no_mem_embed"),
    ],
)
def test_names_of_equal_shape(theirs: str, ours: str) -> None:
    assert list(to_meta({theirs: torch.zeros(1)})) == [ours]


def test_unknown_names_come_through_for_strict_loading_to_report() -> None:
    assert list(to_meta({"surprise": torch.zeros(1)})) == ["surprise"]


def test_layouts_are_told_apart(
    meta: dict[str, tuple[int, ...]], huggingface: dict[str, tuple[int, ...]]
) -> None:
    assert is_huggingface(huggingface)
    assert not is_huggingface(meta)
