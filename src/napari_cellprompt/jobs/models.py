"""What a screen does with the zoo: rows of a table, and downloads in the background."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from napari_cellprompt.core.zoo.registry import MODELS
from napari_cellprompt.core.zoo.user_models import local_file, models_here, user_models

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Download", "ModelRow", "in_background", "model_rows"]

T = TypeVar("T")


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


def model_rows() -> list[ModelRow]:
    """Every model there is, the bundled one first and the user's last.

    Raises
    ------
    CheckpointError
        When the list of the user's models cannot be read.
    """
    families = {"sam1": "SAM", "sam2": "SAM 2"}
    here = set(models_here())
    mine = user_models()
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
                licence=source.licence if source else "",
                good_for=spec.good_for,
                path=str(path or ""),
                url=source.url if source else "",
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
                good_for=f"your own file, input {model.image_size} pixels",
                path=model.path,
                url="",
            )
        )
    return rows


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
