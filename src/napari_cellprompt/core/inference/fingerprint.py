"""Which model made a file: a hash of its weights and of how it takes prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import xxhash

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

__all__ = ["model_fingerprint"]

_SCHEME = 2
"""What goes into the hash. A change makes every saved file one of another model: the
versions of the files that hold fingerprints are to be raised with it."""


def model_fingerprint(model: LoadedModel) -> str:
    """Hash the weights of a model, and how it takes prompts, to 32 hexadecimal digits.

    Only values are hashed, each under a name that is written here: classes and fields may
    be renamed or reordered, and files that were saved before are still known.
    """
    drawing = model.spec.drawing
    prompts = drawing and {
        "amplitude": float(drawing.amplitude),
        "sigma": float(drawing.sigma),
        "carry": bool(drawing.carry),
    }
    described = json.dumps({"scheme": _SCHEME, "drawing": prompts}, sort_keys=True)
    digest = xxhash.xxh3_128(described.encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()
