"""Which number format a device computes in, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = [
    "Precision",
    "choose_precision",
    "computes_bfloat16",
    "gpu_bytes",
    "precision_of",
]


@dataclass(frozen=True, slots=True)
class Precision:
    """A number format and the reason for it."""

    dtype: str
    """Name of the torch type: ``"float32"``, ``"float16"`` or ``"bfloat16"``."""
    reason: str


def choose_precision(
    kind: str, name: str = "", capability: tuple[int, int] | None = None
) -> Precision:
    """Choose the number format of the image encoder.

    Masks and scores are float32 on every device.

    Parameters
    ----------
    kind
        Type of the device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
    name
        What the driver calls it.
    capability
        CUDA compute capability, major and minor.

    Notes
    -----
    GTX 16xx cards have the capability of the Turing RTX cards, but return black masks
    in half precision (micro-sam, issue 1214).
    """
    if kind == "mps":
        return Precision("float32", "half precision gives wrong results on some Macs")
    if kind != "cuda":
        return Precision("float32", "narrower numbers are no faster on a processor")
    major, minor = capability or (0, 0)
    if major >= 8:
        return Precision("bfloat16", "this GPU computes in bfloat16 at full speed")
    if "GTX 16" in name:
        return Precision("float32", "GTX 16xx cards return black masks in half precision")
    if (major, minor) >= (7, 0):
        return Precision("float16", "this GPU computes in float16 at full speed")
    return Precision("float32", "this GPU is not faster in half precision")


def precision_of(device: torch.device) -> Precision:
    """The number format that suits a device of this computer."""
    if device.type != "cuda":
        return choose_precision(device.type)
    import torch

    return choose_precision(
        "cuda",
        torch.cuda.get_device_name(device),
        torch.cuda.get_device_capability(device),
    )


def computes_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 itself (AMX or AVX512-BF16).

    Plain convolutions are then about three times as fast as in float32; elsewhere they
    are emulated, and slower.
    """
    import torch

    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    asked = [getattr(torch.cpu, name, None) for name in names]
    return any(bool(item()) for item in asked if item is not None)


def gpu_bytes() -> int | None:
    """Memory of the first CUDA device in bytes; None where there is none."""
    from napari_cellprompt.core.zoo.torch_import import load_torch

    load_torch()
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(0).total_memory)
