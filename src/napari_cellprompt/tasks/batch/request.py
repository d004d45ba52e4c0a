"""What ``cellprompt batch`` is asked: cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BatchRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """One task for many images, or for one that is larger than memory."""

    source: Path
    """Folder of images, text file with the path of an image a line, or one image."""
    job: Path
    """YAML file: the task and its settings."""
    output: Path
    """Folder for labels and ``report.csv``; of one image that is cut into blocks, an
    OME-Zarr or a TIFF."""
    scheduler: str | None = None
    """Address of a Dask scheduler that runs; None starts workers on this computer."""
    workers: int | None = None
    """Processes on this computer; None: as many as cores and memory allow."""
    retries: int = 2
    """How often an item is tried again after its worker died or failed unexpectedly."""
    again: bool = False
    """Also images whose labels are there."""
    block: int | None = None
    """Side in pixels of the blocks that one large image is cut into; None: one image is
    cut where its plane has more pixels than a block of 2048."""
