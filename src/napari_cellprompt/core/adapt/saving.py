"""An adapted model as a file of its own, which says from what it came."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.zoo.load import save_checkpoint
from napari_cellprompt.core.zoo.verify import digest_of

if TYPE_CHECKING:
    from .adapting import Adapted
    from .settings import AdaptSettings

__all__ = ["origin_of", "write_adapted"]


def origin_of(model: str, objects: int, images: str) -> str:
    """From what a model came: ``from cellprompt-focus, 12 objects of IMAGE``."""
    return f"from {model}, {objects} objects of {images}"


def write_adapted(
    adapted: Adapted, path: Path, settings: AdaptSettings, *, images: str
) -> Path:
    """Write the weights with their provenance, whole or not at all.

    Parameters
    ----------
    adapted
        What came out.
    path
        A file ``.safetensors``; the model is named as it is.
    settings
        How it was adapted.
    images
        Names the images of the objects.

    Raises
    ------
    CheckpointError, SaveError
        Where it cannot be written.
    """
    model, before = adapted.model, adapted.before
    objects = adapted.learnt + before.objects
    provenance = {
        "from": model.spec.name,
        "from_digest": digest_of(model.source) if model.source.is_file() else "",
        "origin": origin_of(model.spec.name, objects, images),
        "objects": objects,
        "held_out": before.objects,
        "images": images,
        "steps": adapted.steps,
        "seconds": round(adapted.seconds, 1),
        "seed": settings.seed,
        "parts": settings.parts,
        "before": asdict(before),
        "after": asdict(adapted.after),
        "curve": adapted.curve,
    }
    spec = replace(model.spec, name=path.stem, bundled=False, source=None)
    return save_checkpoint(path, model.network.state_dict(), spec, training=provenance)
