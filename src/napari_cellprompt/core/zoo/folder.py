"""Where downloaded weights and computed features are kept."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["bundled_file", "cache_folder", "features_folder", "micro_sam_folder"]


def bundled_file(name: str) -> Traversable:
    """Where the weights of a model are that is part of the package."""
    return files(__package__) / "weights" / f"{name}.safetensors"


def cache_folder() -> Path:
    """Name the folder of downloaded weights; ``CELLPROMPT_CACHE`` chooses another."""
    chosen = os.environ.get("CELLPROMPT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-cellprompt") / "models"


def features_folder() -> Path:
    """Name the folder of features on the disk; beside the weights, or in their folder."""
    if os.environ.get("CELLPROMPT_CACHE"):
        return cache_folder() / "features"
    return cache_folder().with_name("features")


def micro_sam_folder() -> Path:
    """Name the folder where micro-sam keeps its models; ``MICROSAM_CACHEDIR`` moves it.

    Files there have the name of the model without a suffix (``micro_sam/util.py``).
    """
    chosen = os.environ.get("MICROSAM_CACHEDIR")
    if chosen:
        return Path(chosen).expanduser() / "models"
    return platformdirs.user_cache_path("micro_sam", appauthor=False) / "models"
