"""What a screen does with the zoo: rows of a table, and downloads in the background."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from psygnal import SignalInstance

from napari_cellprompt.core.inference.precision import gpu_bytes
from napari_cellprompt.core.zoo.registry import MODELS
from napari_cellprompt.core.zoo.user_models import local_file, models_here, user_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellprompt.core.zoo.registry import ModelSpec

__all__ = [
    "Download",
    "ModelRow",
    "fit_here",
    "in_background",
    "model_rows",
    "models_changed",
]

T = TypeVar("T")

models_changed = SignalInstance(name="models_changed")
"""Models have come to this computer, or are gone; emitted on the GUI thread."""

_ENCODER = ("encoder", "embed_dim", "stages", "depth")
"""Hyper-parameters that make the size of a network."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model as a table shows it."""

    name: str
    family: str
    """``"SAM"`` or ``"SAM 2"``."""
    nbytes: int | None
    """Size of the published file, where it is known."""
    here: bool
    """Whether it loads without a download."""
    kind: str
    """``"bundled"``, ``"published"`` or ``"yours"``."""
    licence: str
    good_for: str
    path: str
    """Its file, empty where there is none."""
    url: str
    """Where it is published, empty where nowhere."""
    fit: str
    """How it runs on this computer, in a word or two."""


def fit_here(nbytes: int | None, gpu_bytes: int | None) -> str:
    """How a model runs on this computer, from the size of its weights.

    Parameters
    ----------
    nbytes
        Of the weights in float32, None where that is unknown.
    gpu_bytes
        Memory of the CUDA GPU; None where there is none.
    """
    if nbytes is None:
        return ""
    if gpu_bytes is not None:
        # features and activations of one image of 1024 pixels beside the weights
        return "fast" if 2 * nbytes + 3e9 < gpu_bytes else "too large for the GPU"
    # on two cores, from ours to SAM ViT-H: 0.1 s to 20 s for an image
    for limit, text in ((20e6, "fast"), (100e6, "about 1 s"), (250e6, "seconds")):
        if nbytes < limit:
            return text
    return "slow"


def _about_bytes(spec: ModelSpec) -> int | None:
    """Size of the weights, or that of a model with the same image encoder."""
    sizes = (
        other.source.nbytes
        for other in (spec, *MODELS.values())
        if other.family == spec.family and other.source is not None
        if all(other.network.get(k) == spec.network.get(k) for k in _ENCODER)
    )
    known = next((nbytes for nbytes in sizes if nbytes), None)
    depth, width = spec.network.get("depth"), spec.network.get("embed_dim")
    if known is None and isinstance(depth, int) and isinstance(width, int):
        # a transformer block has 12 times its width squared of weights, 4 bytes each
        return 48 * depth * width**2
    return known


def model_rows() -> list[ModelRow]:
    """Every model there is, the bundled one first and the user's last.

    Raises
    ------
    CheckpointError
        When the list of the user's models cannot be read.
    """
    families = {"sam1": "SAM", "sam2": "SAM 2", "focus": "crop"}
    here = set(models_here())
    mine = user_models()
    gpu = gpu_bytes()
    rows = []
    for spec in MODELS.values():
        if spec.name in mine:
            continue
        path, source = local_file(spec), spec.source
        rows.append(
            ModelRow(
                name=spec.name,
                family=families[spec.family],
                nbytes=source.nbytes if source else None,
                here=spec.name in here,
                kind="bundled" if spec.bundled else "published",
                licence=spec.licence,
                good_for=spec.good_for,
                path=str(path or ""),
                url=source.url if source else "",
                fit="fast" if spec.bundled else fit_here(_about_bytes(spec), gpu),
            )
        )
    for model in mine.values():
        rows.append(
            ModelRow(
                name=model.name,
                family=families[model.family],
                nbytes=None,
                here=True,
                kind="yours",
                licence="",
                good_for=model.origin or f"your own file, input {model.image_size} pixels",
                path=model.path,
                url="",
                fit=fit_here(_size_of(model.path), gpu),
            )
        )
    return rows


def _size_of(path: str) -> int | None:
    return Path(path).stat().st_size if Path(path).is_file() else None


def in_background(work: Callable[[], T], name: str = "cellprompt-models") -> Future[T]:
    """Run something that waits for disk or network on a thread of its own.

    Not on the inference thread: a slow download must not hold up a click.
    """
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            result = work()
        except BaseException as error:  # the caller waits for the future, not the thread
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class Download:
    """One download that runs at once and can be cancelled.

    Parameters
    ----------
    name
        Of a published model.
    on_progress
        Called with bytes and total (or None) on the thread of the download.
    """

    def __init__(self, name: str, on_progress: Callable[[int, int | None], None]) -> None:
        self.name = name
        self._stop = threading.Event()
        self._on_progress = on_progress
        self.future: Future[Path] = in_background(
            self._fetch, f"cellprompt-download-{name}"
        )

    def cancel(self) -> None:
        """Stop with the next piece; what came so far is kept for another time."""
        self._stop.set()

    def _fetch(self) -> Path:
        from napari_cellprompt.core.zoo.download import download_weights
        from napari_cellprompt.core.zoo.registry import get_spec

        return download_weights(
            get_spec(self.name), progress=self._on_progress, cancelled=self._stop.is_set
        )
