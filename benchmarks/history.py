"""What was measured, when and where: one small JSON file a run, from which docs are made.

``benchmarks/history/NAME_DATE.json`` holds ``name``, ``command``, ``date``, ``version``,
``machine`` and ``rows``. The tables of the site are written from these files by
``docs/generate.py``; no number is typed by hand.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import napari_cellprompt

__all__ = ["FOLDER", "latest", "machine", "record"]

FOLDER = Path(__file__).parent / "history"

READABLE = {
    "val: fluorescence": "nuclei, fluorescence (DSB 2018)",
    "val: stained": "nuclei in stained tissue (DSB 2018)",
    "val: brightfield": "nuclei, brightfield (DSB 2018)",
    "val: embryo nuclei": "mouse embryo nuclei, confocal",
    "val: plant nuclei": "plant nuclei, confocal",
    "val: electron microscopy": "chloroplasts, volume EM",
    "val: cell walls": "cell walls, confocal",
    "val: phase contrast mammalian": "mammalian cells, phase contrast",
    "val: fluorescence cytospin": "nuclei, fluorescence cytospin",
    "val: neurons": "neurons, fluorescence",
    "val: quantitative phase": "cells, quantitative phase",
    "val: bacteria": "bacteria, dense",
    "val: bacteria in fluorescence": "bacteria, dense, fluorescence",
    "val: neurites": "neurites, FIB-SEM",
    "val: cell walls in depth": "cell walls of an ovule, confocal stack",
    "test: tissue fluorescence": "tissue nuclei of a set never trained on (S-BIAD634)",
    "test: phase contrast yeast": "phase contrast yeast, never trained on",
    "test: phase contrast bacteria": "phase contrast E. coli, never trained on",
    "chloroplast_sbfsem_left": "chloroplasts, volume EM",
    "mouse_embryo_16cell": "mouse embryo nuclei, confocal",
    "arabidopsis_ovule_1135": "Arabidopsis nuclei, confocal",
    "yeast_phase_left": "phase contrast yeast, movie, never trained on",
    "ecoli_trpL_registered": "phase contrast E. coli, movie, never trained on",
    "ecoli_trpL_drift": "the same with the field drifting",
    "stardist_img3d": "nuclei, fluorescence, a crop of 31 x 61 x 57 voxels",
}
"""What kinds of image and stacks are called for people."""
_MINE = ("--out",)
"""Options, with a value, that say nothing of what was measured."""


def machine() -> dict[str, Any]:
    """What decides how fast this computer is, and how busy it was."""
    import torch

    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith("model name"))
        processor = processor.partition(":")[2].strip()
    except (OSError, StopIteration):
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "load": load,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def record(name: str, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write a file of the history, and return its path."""
    now = datetime.datetime.now(datetime.UTC)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}_{now:%Y-%m-%d_%H%M%S}.json"
    written = {
        "name": name,
        "command": _command(sys.argv),
        "date": f"{now:%Y-%m-%d}",
        "version": napari_cellprompt.__version__,
        "machine": machine(),
        **more,
        "rows": [readable(row) for row in rows],
    }
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the name of its kind of image or stack as people say it."""
    return {
        key: READABLE.get(value, value) if key in ("images", "stack") else value
        for key, value in row.items()
    }


def _command(given: list[str]) -> str:
    """How the same is measured again."""
    words = ["python", f"benchmarks/{Path(given[0]).name}"]
    rest = iter(given[1:])
    for word in rest:
        if word in _MINE:
            next(rest, None)
        elif word != "--record":
            words.append(word)
    return shlex.join(words)


def latest(name: str) -> dict[str, Any] | None:
    """The newest file of a name; None where there is none."""
    paths = sorted(FOLDER.glob(f"{name}_[0-9]*.json"))
    if not paths:
        return None
    found: dict[str, Any] = json.loads(paths[-1].read_text())
    return found
