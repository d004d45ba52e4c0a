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
    command = ["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    written = {
        "name": name,
        "command": shlex.join(command),
        "date": f"{now:%Y-%m-%d}",
        "version": napari_cellprompt.__version__,
        "machine": machine(),
        **more,
        "rows": rows,
    }
    path.write_text(json.dumps(written, indent=1) + "\n")
    return path


def latest(name: str) -> dict[str, Any] | None:
    """The newest file of a name; None where there is none."""
    paths = sorted(FOLDER.glob(f"{name}_[0-9]*.json"))
    if not paths:
        return None
    found: dict[str, Any] = json.loads(paths[-1].read_text())
    return found
