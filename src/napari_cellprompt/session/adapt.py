"""An adaptation as a window runs it: in another process, with progress and an end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.zoo.folder import cache_folder
from napari_cellprompt.core.zoo.user_models import user_models

from .zoo import in_background

if TYPE_CHECKING:
    from napari_cellprompt.core.adapt.lessons import MarkedPlane

    from .segment import LoadedSegmenter

__all__ = ["AdaptJob", "Adaptation", "Outcome", "can_adapt", "discard", "free_name", "keep"]

_THREADS = 2
_FOLDER = "adapted"


@dataclass(frozen=True, slots=True)
class AdaptJob:
    """What is to be done."""

    model: str
    """Name of the model, or its file."""
    name: str
    """Of the model that comes out."""
    images: str
    """Names the image of the objects."""
    collect: Callable[[], Sequence[MarkedPlane]]
    """Reads planes with their accepted objects; on a thread of its own."""
    settings: Mapping[str, Any]
    """Of :class:`~.core.adapt.settings.AdaptSettings`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    name: str
    path: Path
    better: bool
    before: Mapping[str, float]
    after: Mapping[str, float]


class Adaptation:
    """One run.

    Parameters
    ----------
    job
        What is to be done.
    on_progress
        Told the share that is over, 0 to 1, on another thread.
    nice
        How far everything else goes first, 0 to 19; None: far, so that a window stays
        as fast as before.
    """

    def __init__(
        self,
        job: AdaptJob,
        on_progress: Callable[[float], None],
        *,
        nice: int | None = None,
    ) -> None:
        self.job = job
        self._on_progress, self._nice = on_progress, nice
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.future: Future[Outcome] = in_background(self._run, "cellprompt-adapt")

    def cancel(self) -> None:
        """End the process; nothing stays of it."""
        self._stop.set()
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.terminate()

    def _run(self) -> Outcome:
        from napari_cellprompt.core.adapt.lessons import save_marked
        from napari_cellprompt.tasks.adapt.process import JOB, MARKED

        marked = self.job.collect()
        output = cache_folder() / _FOLDER / f"{self.job.name}.safetensors"
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cellprompt-adapt-") as name:
            folder = Path(name)
            save_marked(folder / MARKED, marked)
            content: dict[str, Any] = {
                "model": self.job.model,
                "output": str(output),
                "images": self.job.images,
                "settings": dict(self.job.settings),
            }
            if self._nice is not None:
                content["nice"] = self._nice
            (folder / JOB).write_text(json.dumps(content), encoding="utf-8")
            return self._follow(folder)

    def _follow(self, folder: Path) -> Outcome:
        """Start the process and listen to it until it ends."""
        if self._stop.is_set():
            raise CancelledError
        with _started(folder) as process:
            self._process = process
            if self._stop.is_set():
                process.terminate()
            last: dict[str, Any] = {}
            for line in process.stdout or ():
                with contextlib.suppress(ValueError):
                    last = json.loads(line)
                if "share" in last:
                    self._on_progress(float(last["share"]))
            process.wait()
        if self._stop.is_set():
            raise CancelledError
        if "error" in last:
            raise CellpromptError(last["error"])
        if "path" not in last:
            raise CellpromptError(
                "The process that adapts the model ended early (exit code "
                f"{process.returncode}); its memory may not have sufficed."
            )
        return Outcome(
            self.job.name,
            Path(last["path"]),
            bool(last["better"]),
            last["before"],
            last["after"],
        )


def _started(folder: Path) -> subprocess.Popen[str]:
    environment = dict(os.environ)
    # not more than it needs, and none of its threads waits by turning in circles
    environment.setdefault("OMP_NUM_THREADS", str(_THREADS))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
        options = {"creationflags": flags}
    return subprocess.Popen(
        [sys.executable, "-m", "napari_cellprompt.tasks.adapt.process", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment,
        **options,
    )


def can_adapt(loaded: LoadedSegmenter) -> bool:
    """Whether a model can learn from accepted objects."""
    traits = getattr(loaded.segmenter.model, "traits", None)
    return bool(getattr(traits, "adapts", False))


def free_name(model: str) -> str:
    """A name for what comes of a model: ``cellprompt-focus-adapted``, ``...-2``, ..."""
    stem = Path(model).stem if Path(model).suffix else model
    base = stem.split("-adapted")[0] + "-adapted"
    taken = set(user_models())
    folder = cache_folder() / _FOLDER
    number = 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        if name not in taken and not (folder / f"{name}.safetensors").exists():
            return name
        number += 1


def keep(outcome: Outcome) -> str:
    """Take a model that came out into the zoo; its name there."""
    from napari_cellprompt.core.zoo.importing import import_model

    return import_model(outcome.path, name=outcome.name).name


def discard(outcome: Outcome) -> None:
    """Delete a model that nobody wants."""
    outcome.path.unlink(missing_ok=True)
