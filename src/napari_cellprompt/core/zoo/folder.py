"""Where downloaded weights are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Name the folder of downloaded weights; ``CELLPROMPT_CACHE`` chooses another."""
    chosen = os.environ.get("CELLPROMPT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-cellprompt") / "models"
