"""The names that Hugging Face's ``Sam2VideoModel`` gives to the weights of SAM 2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["is_huggingface", "to_meta"]

_SHARED_POSITIONS = "shared_image_embedding.positional_embedding"  # stored twice
_POINTS = "prompt_encoder.point_embed.weight"

_HEADS = (
    r"iou_prediction_head|output_hypernetworks_mlps\.\d+|pred_obj_score_head|obj_ptr_proj"
)

# Applied in this order; later rules see what earlier ones wrote.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # top level
        (r"^no_memory_embedding$", "no_mem_embed"),
        (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
        (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
        (r"^no_object_pointer$", "no_obj_ptr"),
        (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
        (r"^object_pointer_proj\.", "obj_ptr_proj."),
        (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
        # image encoder
        (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
        (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
        (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
        # prompt encoder and mask decoder
        (r"^prompt_encoder\.", "sam_prompt_encoder."),
        (r"^mask_decoder\.", "sam_mask_decoder."),
        (
            r"\.shared_embedding\.positional_embedding$",
            ".pe_layer.positional_encoding_gaussian_matrix",
        ),
        (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
        (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
        (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
        (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
        (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
        (r"\.upscale_conv1\.", ".output_upscaling.0."),
        (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
        (r"\.upscale_conv2\.", ".output_upscaling.3."),
        # memory encoder
        (r"\.memory_fuser\.", ".fuser."),
        (r"\.feature_projection\.", ".pix_feat_proj."),
        (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
        (r"\.mask_downsampler\.final_conv\.", ".mask_downsampler.encoder.12."),
        (r"\.depthwise_conv\.", ".dwconv."),
        (r"\.pointwise_conv([12])\.", r".pwconv\1."),
        (r"\.scale$", ".gamma"),
        # MLPs: of two layers in blocks, of three in heads
        (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
        (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
        (rf"({_HEADS})\.layers\.0\.", r"\1.layers.1."),
        (rf"({_HEADS})\.proj_in\.", r"\1.layers.0."),
        (rf"({_HEADS})\.proj_out\.", r"\1.layers.2."),
        # everywhere
        (r"\.o_proj\.", ".out_proj."),
    )
)
_DOWNSAMPLER = re.compile(r"\.mask_downsampler\.layers\.(\d+)\.(conv|layer_norm)\.")
_NORM = re.compile(r"\.layer_norm(\w*)\.")


def is_huggingface(names: Mapping[str, object]) -> bool:
    """Whether these are the names of a SAM 2 as Hugging Face stores it."""
    return "vision_encoder.backbone.patch_embed.projection.weight" in names


def _meta_name(name: str) -> str:
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    # Meta's downsampler is one Sequential of convolution, norm, activation.
    name = _DOWNSAMPLER.sub(
        lambda m: f".mask_downsampler.encoder.{3 * int(m[1]) + (m[2] == 'layer_norm')}.",
        name,
    )
    return _NORM.sub(r".norm\1.", name)


def to_meta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a ``Sam2VideoModel`` the names in Meta's checkpoints.

    Names that this layout does not have come through unchanged, so that strict loading
    reports them.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == _SHARED_POSITIONS:
            continue
        if name == _POINTS:
            for index, row in enumerate(tensor):
                key = f"sam_prompt_encoder.point_embeddings.{index}.weight"
                renamed[key] = row[None]
        else:
            renamed[_meta_name(name)] = tensor
    return renamed
