"""A task without a model, for workers in processes of their own."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import save_labels
from napari_cellprompt.tasks.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoreRequest:
    """What is brighter than a level gets the number 1; trouble on demand."""

    image: Path
    output: Path
    level: float = 100
    seconds: float = 0.0
    kill: str = ""
    """Image that kills its worker, once: then a file of this name lies beside it."""
    kill_always: str = ""
    stumble: str = ""
    """Image at which the first attempt fails."""
    count: Path | None = None
    """File with a line for each time that an image was worked on."""


def run(request: ChoreRequest, report: Report) -> None:
    time.sleep(request.seconds)
    name = request.image.stem
    if request.count is not None:
        with request.count.open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
    mark = request.image.with_suffix(".seen")
    if name == request.kill_always:
        os._exit(1)
    if name == request.kill and not mark.exists():
        mark.touch()
        os._exit(1)
    if name == request.stumble and not mark.exists():
        mark.touch()
        raise RuntimeError("a stumble")
    image = read_image(request.image)
    labels = (np.asarray(image.data) > request.level).astype(np.uint8)
    save_labels(request.output, labels, image.grid)
    report.say(f"1 object written to {request.output}")
