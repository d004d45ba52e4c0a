"""Builds the networks from explicit hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from napari_cellprompt.core.networks.sam.image_encoder import FpnNeck, ImageEncoder
from napari_cellprompt.core.networks.sam.mask_decoder import MaskDecoder
from napari_cellprompt.core.networks.sam.memory import MemoryAttention, MemoryEncoder
from napari_cellprompt.core.networks.sam.perceiver import SpatialPerceiver
from napari_cellprompt.core.networks.sam.prompt_encoder import PromptEncoder
from napari_cellprompt.core.networks.sam.sam1 import SAM1
from napari_cellprompt.core.networks.sam.sam2 import SAM2
from napari_cellprompt.core.networks.trunks.hiera import Hiera
from napari_cellprompt.core.networks.trunks.repvit import REPVIT_CHANNELS, RepViT
from napari_cellprompt.core.networks.trunks.tiny_vit import TinyViT
from napari_cellprompt.core.networks.trunks.vit import ViT

__all__ = ["build_sam1", "build_sam2"]


def build_sam2(
    *,
    image_size: int = 1024,
    embed_dim: int = 96,
    num_heads: int = 1,
    stages: Sequence[int] = (1, 2, 7, 2),
    global_att_blocks: Sequence[int] = (5, 7, 9),
    window_pos_embed_bkg_spatial_size: Sequence[int] = (7, 7),
    window_spec: Sequence[int] = (8, 4, 14, 7),
    d_model: int = 256,
    mem_dim: int = 64,
    memory_attention_layers: int = 4,
    memory_attention_feedforward: int = 2048,
    num_maskmem: int = 7,
    decoder_mlp_dim: int = 2048,
    version: str = "2.1",
    trunk: str = "hiera",
    perceiver_layers: int = 0,
) -> SAM2:
    """Build SAM 2 with fresh weights; the defaults are SAM 2.1 tiny.

    Parameters
    ----------
    image_size
        Side of the square input in pixels, a multiple of 32.
    embed_dim, num_heads, stages, global_att_blocks
        The trunk, see :class:`~.hiera.Hiera`.
    window_pos_embed_bkg_spatial_size, window_spec
        Its position embedding and windows.
    d_model
        Width of the image features, a multiple of ``mem_dim``.
    mem_dim, memory_attention_layers, memory_attention_feedforward, num_maskmem
        The memory.
    decoder_mlp_dim
        Hidden width in the mask decoder.
    version
        "2.0" or "2.1".
    trunk
        "hiera", or "repvit_m1" for EdgeTAM, whose sizes are fixed: arguments of Hiera
        then say nothing.
    perceiver_layers
        Of EdgeTAM's spatial perceiver; 0 for none.

    Raises
    ------
    ValueError
        Where sizes do not fit together.
    """
    if version not in ("2.0", "2.1"):
        raise ValueError(f'version must be "2.0" or "2.1": got {version!r}.')
    if image_size % 32:
        raise ValueError(f"image_size must be a multiple of 32: got {image_size}.")
    if d_model % mem_dim or d_model % 8:
        raise ValueError(
            f"d_model must be a multiple of mem_dim and of 8: got {d_model} and {mem_dim}."
        )
    if perceiver_layers and image_size % 256:
        raise ValueError(
            f"image_size must be a multiple of 256 for EdgeTAM: got {image_size}."
        )
    if trunk not in ("hiera", "repvit_m1"):
        raise ValueError(f'trunk must be "hiera" or "repvit_m1": got {trunk!r}.')
    if trunk == "hiera":
        channels = [embed_dim * 2**stage for stage in range(len(stages))]
    else:
        channels = list(REPVIT_CHANNELS)
    backbone: Hiera | RepViT = (
        RepViT()
        if trunk == "repvit_m1"
        else Hiera(
            embed_dim=embed_dim,
            num_heads=num_heads,
            stages=stages,
            global_att_blocks=global_att_blocks,
            window_pos_embed_bkg_spatial_size=window_pos_embed_bkg_spatial_size,
            window_spec=window_spec,
        )
    )
    network = SAM2(
        image_encoder=ImageEncoder(
            trunk=backbone, neck=FpnNeck(channels=channels[::-1], d_model=d_model)
        ),
        prompt_encoder=PromptEncoder(embed_dim=d_model),
        mask_decoder=MaskDecoder(dim=d_model, mlp_dim=decoder_mlp_dim),
        memory_attention=MemoryAttention(
            dim=d_model,
            mem_dim=mem_dim,
            layers=memory_attention_layers,
            feedforward=memory_attention_feedforward,
        ),
        memory_encoder=MemoryEncoder(dim=d_model, mem_dim=mem_dim),
        image_size=image_size,
        dim=d_model,
        mem_dim=mem_dim,
        num_maskmem=num_maskmem,
        version=version,
        spatial_perceiver=(
            SpatialPerceiver(dim=mem_dim, layers=perceiver_layers)
            if perceiver_layers
            else None
        ),
    )
    _initialise(network)
    return network


def build_sam1(
    *,
    image_size: int = 1024,
    encoder: str = "vit",
    embed_dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    global_blocks: Sequence[int] = (2, 5, 8, 11),
    native_size: int = 1024,
) -> SAM1:
    """Build SAM with fresh weights; the defaults are ViT-B.

    Parameters
    ----------
    image_size
        Side of the square input in pixels, a multiple of 32.
    encoder
        "vit", or "tiny_vit" for MobileSAM, whose sizes are fixed.
    embed_dim, depth, heads, global_blocks, native_size
        The encoder, see :class:`~.vit.ViT`.

    Raises
    ------
    ValueError
        Where sizes do not fit together.
    """
    if encoder not in ("vit", "tiny_vit"):
        raise ValueError(f'encoder must be "vit" or "tiny_vit": got {encoder!r}.')
    if image_size % 32:
        raise ValueError(f"image_size must be a multiple of 32: got {image_size}.")
    if encoder == "vit" and embed_dim % heads:
        raise ValueError(f"heads must divide embed_dim: got {heads} and {embed_dim}.")
    image_encoder: nn.Module = TinyViT()
    if encoder == "vit":
        image_encoder = ViT(
            embed_dim=embed_dim,
            depth=depth,
            heads=heads,
            global_blocks=global_blocks,
            native_size=native_size,
        )
    return SAM1(
        image_encoder=image_encoder,
        prompt_encoder=PromptEncoder(embed_dim=256),
        mask_decoder=MaskDecoder(dim=256, mlp_dim=2048, sam1=True),
        image_size=image_size,
    )


def _initialise(network: SAM2) -> None:
    """Start values for training from scratch, as usual in vision transformers."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    trunk = network.image_encoder.trunk
    perceiver = network.spatial_perceiver
    own = (trunk.pos_embed, trunk.pos_embed_window) if isinstance(trunk, Hiera) else ()
    latents = (perceiver.latents, perceiver.latents_2d) if perceiver is not None else ()
    for parameter in (
        *own,
        *latents,
        network.maskmem_tpos_enc,
        network.no_mem_embed,
        network.no_mem_pos_enc,
        network.no_obj_ptr,
        network.no_obj_embed_spatial,
    ):
        if parameter is not None:
            nn.init.trunc_normal_(parameter, std=0.02)
