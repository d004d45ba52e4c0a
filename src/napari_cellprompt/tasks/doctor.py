"""A report on this computer: what is installed, what it computes on, and how fast."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.inference.precision import choose_precision
from napari_cellprompt.core.zoo.folder import cache_folder, features_folder
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

from .inputs import loading

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timings", "measure", "report"]

_PACKAGES = ("napari-cellprompt", "napari", "torch", "numpy", "tifffile")
_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_SIDE = 512


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that the bundled model takes here."""

    load: float
    plane: float
    """Features of one tile and the first click."""
    click: float
    """A click where the features are known."""


def measure(model: str = DEFAULT_MODEL, device: str = "auto") -> Timings:
    """Load a model and click twice into a made-up plane of 512 x 512 pixels."""
    import numpy as np

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import Prompts

    start = time.perf_counter()
    segmenter = loading.load_segmenter(model, device)
    loaded = time.perf_counter()
    y, x = np.mgrid[:_SIDE, :_SIDE]
    bright = 200 * np.exp(-((y - 256) ** 2 + (x - 256) ** 2) / (2 * 12.0**2))
    plane = PlaneSource.from_image(bright.astype(np.uint8))
    seconds = []
    for place in (256.0, 258.0):
        begun = time.perf_counter()
        segmenter.predict(plane, Prompts(points=((place, place),), labels=(1,)))
        seconds.append(time.perf_counter() - begun)
    return Timings(loaded - start, *seconds)


def report(*, timer: Callable[[], Timings] = measure) -> str:
    """Everything that helps to find out what is wrong, as text to paste.

    Parameters
    ----------
    timer
        What measures; a failure of it becomes a line of the report.
    """
    lines = [("system", platform.platform()), ("python", sys.version.split()[0])]
    lines += [(name, _version(name)) for name in _PACKAGES]
    found = [f"{name} {v}" for name in _BINDINGS if (v := _version(name)) != "missing"]
    lines.append(("qt", ", ".join(found) or "none"))
    lines += _devices()
    lines.append(("memory", _memory()))
    folder = cache_folder()
    files = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    lines.append(("models", str(folder)))
    lines += [("", name) for name in files]
    lines.append(("features on disk", str(features_folder())))
    for name in ("CELLPROMPT_CACHE", "CELLPROMPT_MIRROR"):
        if name in os.environ:
            lines.append((name, os.environ[name]))
    if "HTTPS_PROXY" in os.environ or "https_proxy" in os.environ:
        # not its value: a password may stand in it
        lines.append(("HTTPS_PROXY", "set"))
    try:
        timings = timer()
    except (CellpromptError, RuntimeError, OSError) as error:
        lines.append(("timings", f"failed: {type(error).__name__}: {error}"))
    else:
        lines += [
            ("load model", f"{timings.load:.2f} s"),
            ("first click", f"{timings.plane:.3f} s (features of one tile included)"),
            ("next click", f"{timings.click:.3f} s"),
        ]
    return "\n".join(f"{name:<18}{value}".rstrip() for name, value in lines)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _devices() -> list[tuple[str, str]]:
    import torch

    lines = [("processor", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}")]
    chosen = choose_precision("cpu")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            name = torch.cuda.get_device_name(index)
            capability = torch.cuda.get_device_capability(index)
            chosen = choose_precision("cuda", name, capability)
            total = torch.cuda.get_device_properties(index).total_memory
            lines.append((f"cuda:{index}", f"{name}, {total / 1e9:.0f} GB"))
    elif torch.backends.mps.is_available():
        chosen = choose_precision("mps")
        lines.append(("mps", "Apple GPU (used only when asked for)"))
    else:
        lines.append(("gpu", "none that torch can use"))
    lines.append(("precision", f"{chosen.dtype}: {chosen.reason}"))
    return lines


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        # Windows has no such call
        return "unknown"
    return f"{total / 1e9:.0f} GB"
