"""The images of a folder, in the order in which people count."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .image_files import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["images_in", "natural_order"]


def natural_order(path: Path) -> tuple[Any, ...]:
    """Key for sorting: img_10 comes after img_2, also in the names of folders."""
    return tuple(_counted(part) for part in path.parts)


def images_in(folder: Path) -> list[Path]:
    """All image files of a folder in natural order; hidden ones are left out."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        ),
        key=natural_order,
    )


def _counted(text: str) -> tuple[tuple[int, int, str], ...]:
    # Only ASCII digits: int() does not take the others that \d stands for.
    parts = re.split(r"([0-9]+)", text.lower())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
