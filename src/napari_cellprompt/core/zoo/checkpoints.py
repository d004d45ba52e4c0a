"""Read files of weights safely and tell from their tensors which network they fit.

The layouts: archives of tensors by name (SAM, MobileSAM, micro-sam) or within ``"model"``
(SAM 2), also as training leaves them (see :mod:`.unwrap`); safetensors as Hugging Face
stores ``Sam2VideoModel``; and this package's own safetensors with the network's
configuration in their metadata.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_cellprompt.core.errors import CheckpointError

from .huggingface import is_huggingface, to_meta
from .registry import NETWORKS, SAM1_NETWORKS
from .unwrap import find_network

__all__ = ["detect_family", "detect_variant", "first_few", "read_state_dict"]

_TRUNK = "image_encoder.trunk"
_VIT = "image_encoder.patch_embed.proj.weight"
_ENTRY = "entry.at_half.0.weight"
_TINY_VIT = "image_encoder.patch_embed.seq.0.c.weight"


def first_few(names: Iterable[str], count: int = 3) -> str:
    """List the first names for a message, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def read_state_dict(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint without running any code it may hold.

    Parameters
    ----------
    path : str or Path
        A file in one of the layouts; its content decides, not its name.

    Returns
    -------
    state_dict : dict
        Tensors under the names that the networks here use, on the CPU; floating point
        ones as float32. (SAM 2's are Meta's; in SAM's the two layers of an MLP are
        called as in SAM 2.)
    metadata : dict
        The configuration in a file of this package; empty for the other layouts.

    Raises
    ------
    CheckpointError
        When there is no such file, or it is damaged, cut short, would run code, or
        holds something else than tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"The checkpoint {path} cannot be read: {reason}.") from error
    if not head:
        raise CheckpointError(f"The checkpoint {path} is empty.")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise CheckpointError(
            f"The checkpoint {path} is a web page, not weights: the download was "
            "answered with a page. Fetch the file again."
        )
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    else:
        state, metadata = _read_archive(path), {}
    state = {
        name: tensor.detach().float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    if is_huggingface(state):
        return to_meta(state), metadata
    return _sam1_names(state), metadata


def _sam1_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of SAM as the networks here have them; tensors without use are left out."""
    unused = tuple(f"image_encoder.{part}." for part in ("norm_head", "head"))
    return {
        name.replace(".mlp.lin1.", ".mlp.layers.0.").replace(
            ".mlp.lin2.", ".mlp.layers.1."
        ): tensor
        for name, tensor in state.items()
        # MobileSAM's file keeps the classifier that its encoder was trained with
        if not name.startswith(unused) and name not in ("pixel_mean", "pixel_std")
    }


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get("config")
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is damaged or cut short ({error}). Fetch it again."
        ) from error
    if text is None:
        return _unwrapped(path, state), {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CheckpointError(
            f"The configuration in the checkpoint {path} is not valid JSON ({error})."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"The configuration in the checkpoint {path} must be an object, not "
            f"{type(config).__name__}."
        )
    return state, config


def _read_archive(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # Old pickle protocols make torch ask for a bug report; a failure that
            # follows from one is reported below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:
        # A damaged archive fails in whatever way its first wrong byte leads to.
        raise CheckpointError(
            f"The checkpoint {path} is damaged or cut short "
            f"({type(error).__name__}: {_one_line(error)}). Fetch it again."
        ) from error
    return _unwrapped(path, payload)


def _unwrapped(path: Path, payload: Any) -> dict[str, Tensor]:
    """The network's tensors; those of a file that names no known network as they are."""
    if isinstance(payload, Mapping):
        try:
            found = find_network(payload)
        except CheckpointError as error:
            raise CheckpointError(
                f"The checkpoint {path} cannot be used. {error}"
            ) from error
        if found is not None:
            return found
    for key in ("state_dict", "model_state_dict", "model", "model_state"):
        if isinstance(payload, Mapping) and isinstance(payload.get(key), Mapping):
            payload = payload[key]
    if not isinstance(payload, Mapping) or not payload:
        raise CheckpointError(
            f"The checkpoint {path} holds no tensors by name but a "
            f"{type(payload).__name__}."
        )
    for name, value in payload.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"The checkpoint {path} fits no known layout: its entry {name!r} is a "
                f"{type(value).__name__}, not a tensor. First entries: "
                f"{first_few(map(str, payload))}."
            )
    return dict(payload)


def _refusal(path: Path, reason: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", reason)
    if found is None:
        return f"The checkpoint {path} is damaged or no file of weights."
    return (
        f"The checkpoint {path} was refused: besides tensors it holds {found[1]}, which "
        "would run code on this computer when loaded. Only files of plain tensors are "
        "read; of a model that you trained yourself, save the tensors alone: "
        "torch.save(network.state_dict(), FILE)."
    )


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no more is known"


def detect_family(state: Mapping[str, Tensor]) -> str:
    """Which networks tensors belong to, by their names.

    ``"focus"`` for a crop-wise network, ``"sam1"`` for SAM or MobileSAM, else ``"sam2"``.
    """
    if _ENTRY in state:
        return "focus"
    encoders = (_VIT, _TINY_VIT)
    return "sam1" if any(name in state for name in encoders) else "sam2"


def _measure_sam1(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the hyper-parameters of a SAM encoder from the shapes of its tensors."""
    if _TINY_VIT in state:
        return dict(SAM1_NETWORKS["vit_t"])
    try:
        width = state[_VIT].shape[0]
        depth = _count(state, "image_encoder.blocks")
        tables = [
            state[f"image_encoder.blocks.{index}.attn.rel_pos_h"] for index in range(depth)
        ]
        side = state["image_encoder.pos_embed"].shape[1]
        return {
            "encoder": "vit",
            "embed_dim": width,
            "depth": depth,
            "heads": width // tables[0].shape[1],
            "global_blocks": tuple(
                index for index, table in enumerate(tables) if len(table) == 2 * side - 1
            ),
            "native_size": side * 16,
        }
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"The tensors are not those of a SAM network. First of {len(state)}: "
            f"{first_few(state)}."
        ) from error


def _measure_focus(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the hyper-parameters of a crop-wise network from the shapes of its tensors."""
    try:
        return {
            "decoder": tuple(
                state[f"levels.{level}.0.weight"].shape[0]
                for level in range(_count(state, "levels"))
            ),
            "entry": state[_ENTRY].shape[0],
            "full": state["full.0.weight"].shape[0],
            "hidden": state["scores.layers.0.weight"].shape[0],
        }
    except KeyError as error:
        raise CheckpointError(
            f"The tensors are not those of a crop-wise network: {error.args[0]} is "
            f"missing. First of {len(state)}: {first_few(state)}."
        ) from error


def detect_variant(
    state: Mapping[str, Tensor], config: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Find the hyper-parameters of the network that tensors belong to.

    Parameters
    ----------
    state : mapping
        Tensors under Meta's names.
    config : mapping, optional
        Keyword arguments of the network's builder from the file's configuration. They are
        checked against the tensors. Without them, what tensors do not show (heads,
        windows) comes from the registered network of the same dimensions.

    Returns
    -------
    dict
        Keyword arguments of ``build_sam1``, ``build_sam2`` or ``FocusNet`` (see
        :func:`detect_family`), without ``image_size``.

    Raises
    ------
    CheckpointError
        When the tensors are neither, of an unknown size, or contradict ``config``.
    """
    family = detect_family(state)
    if family == "sam1":
        return _measure_sam1(state)
    measured = _measure_focus(state) if family == "focus" else _measure(state)
    if config is not None:
        known = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in config.items()
            if name != "image_size"
        }
        for name, value in measured.items():
            if known.get(name, value) != value:
                raise CheckpointError(
                    f"The configuration says {name} = {known[name]}, but the tensors "
                    f"have {value}."
                )
        return {**known, **measured}
    if family == "focus":
        return measured
    for network in NETWORKS.values():
        # Networks are told apart by what is registered of them.
        same_trunk = network.get("trunk") == measured.get("trunk")
        if same_trunk and all(
            measured.get(name, value) == value for name, value in network.items()
        ):
            return {**network, **measured}
    raise CheckpointError(
        f"A SAM 2 of unknown size (embed_dim {measured.get('embed_dim')}, stages "
        f"{measured.get('stages')}, d_model {measured['d_model']}), and the file has no "
        "configuration that describes it."
    )


def _measure(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the hyper-parameters that tensors show by their shapes and numbers."""
    try:
        memory_times = state["maskmem_tpos_enc"]
        return {
            **_measure_trunk(state),
            "d_model": state["image_encoder.neck.convs.0.conv.weight"].shape[0],
            "mem_dim": memory_times.shape[-1],
            "num_maskmem": memory_times.shape[0],
            "memory_attention_layers": _count(state, "memory_attention.layers"),
            "memory_attention_feedforward": state[
                "memory_attention.layers.0.linear1.weight"
            ].shape[0],
            "decoder_mlp_dim": state[
                "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight"
            ].shape[0],
            "version": "2.1" if "no_obj_embed_spatial" in state else "2.0",
        }
    except (KeyError, IndexError) as error:
        missing = f": {error.args[0]} is missing" if isinstance(error, KeyError) else ""
        raise CheckpointError(
            f"The tensors are not those of a SAM 2 network{missing}. First of "
            f"{len(state)}: {first_few(state)}."
        ) from error


def _measure_trunk(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Hyper-parameters of the image encoder, and of what EdgeTAM has besides."""
    if f"{_TRUNK}.body.stem.conv1.c.weight" in state:
        layers = _count(state, "spatial_perceiver.layers")
        return {"trunk": "repvit_m1", "perceiver_layers": layers}
    return {
        "embed_dim": state[f"{_TRUNK}.patch_embed.proj.weight"].shape[0],
        "stages": _stages(state),
        "window_pos_embed_bkg_spatial_size": tuple(state[f"{_TRUNK}.pos_embed"].shape[-2:]),
    }


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({found[1] for name in state if (found := pattern.match(name))})


def _stages(state: Mapping[str, Tensor]) -> Sequence[int]:
    """Count the blocks per stage: a stage begins where a block changes the width."""
    total = _count(state, f"{_TRUNK}.blocks")
    starts = [0] + [
        index
        for index in range(1, total)
        if f"{_TRUNK}.blocks.{index}.proj.weight" in state
    ]
    return tuple(
        end - start for start, end in zip(starts, [*starts[1:], total], strict=True)
    )
