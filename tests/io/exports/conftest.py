"""Labels with everything that formats stumble over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_cellprompt.io.exports.formats import write_export
from napari_cellprompt.io.exports.subject import ExportSubject
from napari_cellprompt.io.image_files import ImageFile, LabelGrid
from napari_cellprompt.io.objects import ObjectFacts

SHAPES = {"YX": (22, 31), "ZYX": (4, 22, 31), "TYX": (5, 22, 31), "TZYX": (3, 4, 22, 31)}
STEPS = {"T": 30.0, "Z": 0.5, "Y": 0.2, "X": 0.16}


def awkward_labels(axes: str, large: int) -> np.ndarray:
    """Touching, multi-part, ring-shaped and one-pixel objects, and an empty plane."""
    shape = SHAPES[axes]
    labels = np.zeros(shape, np.uint32)
    planes = labels.reshape(-1, *shape[-2:])
    for number, plane in enumerate(planes):
        if number == 2:
            continue
        plane[0:6, 0:7] = 1
        plane[0:6, 7:12] = 2
        plane[8:15, 2:9] = 3
        plane[10:13, 4:7] = 0
        plane[11, 5] = 4
        # parts that touch at corners, and one apart
        plane[16, 20] = plane[17, 21] = plane[18, 20] = large
        plane[2:4, 25:] = large
        plane[-1, -1] = 7
        plane[:, 15] = 9
        plane[:, 16] = 9
    return labels


def subject_of(
    labels: np.ndarray,
    axes: str,
    objects: dict[int, ObjectFacts] | None = None,
    image: np.ndarray | None = None,
    image_axes: str | None = None,
) -> ExportSubject:
    scale = tuple(STEPS[letter] for letter in axes)
    grid = LabelGrid(tuple(labels.shape), axes, scale, "um", axes)
    file = None
    if image is not None:
        letters = image_axes or axes
        file = ImageFile(
            image, letters, tuple(STEPS.get(letter, 1.0) for letter in letters), "um", axes
        )
    return ExportSubject(labels, grid, "cells", file, objects or {})


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., tuple[Path, list[str]]]:
    """Write and tell what was said."""

    def run(subject: ExportSubject, key: str, name: str) -> tuple[Path, list[str]]:
        said: list[str] = []
        path = tmp_path / name
        write_export(path, subject, key, said.append)
        return path, said

    return run
