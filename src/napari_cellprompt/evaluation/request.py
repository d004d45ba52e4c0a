"""What is asked of an evaluation; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_cellprompt.tasks.requests import ModelRequest

__all__ = ["PARTS", "EvaluateRequest"]

PARTS = ("prompts", "everything", "stacks")
"""What can be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest(ModelRequest):
    """A model is to be measured on a folder of images with known objects."""

    folder: Path
    output: Path = Path("evaluation")
    """Folder for figures and picture."""
    limit: int | None = None
    """At most so many objects of each data set; None for all."""
    datasets: tuple[str, ...] | None = None
    """Only these; None for all."""
    parts: tuple[str, ...] = PARTS
    """Which of ``PARTS``."""
