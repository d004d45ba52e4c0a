"""Adaptation in a process of its own, started as ``python -m`` with a folder.

The folder holds ``marked.npz`` and ``job.json``; each line of the standard output is a
JSON object. The process has a low priority and ends with the one that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cellprompt.core.adapt.adapting import Progress

__all__ = ["JOB", "MARKED", "main"]

JOB, MARKED = "job.json", "marked.npz"
_NICE = 15


def _tell(**news: Any) -> None:
    print(json.dumps(news), flush=True)


def _step_back() -> None:
    """Let everything else go first."""
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(_NICE)
    # on Linux, niceness counts within a session of processes only, and this one is alone
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")


def main(folder: Path) -> int:
    """Adapt as the job says; the exit code."""
    _step_back()
    from concurrent.futures import CancelledError

    from napari_cellprompt.core.adapt.adapting import adapt_model
    from napari_cellprompt.core.adapt.lessons import Lessons, load_marked
    from napari_cellprompt.core.adapt.saving import write_adapted
    from napari_cellprompt.core.adapt.settings import AdaptSettings
    from napari_cellprompt.core.errors import CellpromptError
    from napari_cellprompt.core.zoo.load import load_model
    from napari_cellprompt.tasks.adapt.adapting import crop_wise

    parent = os.getppid()
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    settings = AdaptSettings(**job["settings"])

    def progress(state: Progress) -> None:
        found = state.judgement
        _tell(
            share=state.share,
            step=state.step,
            judgement=None if found is None else asdict(found),
        )

    try:
        lessons = Lessons.divided(load_marked(folder / MARKED), settings)
        adapted = adapt_model(
            crop_wise(load_model(job["model"], device="cpu")),
            lessons,
            settings,
            progress=progress,
            # it is another's once the one that started this is gone
            cancelled=lambda: os.getppid() != parent,
        )
        path = write_adapted(
            adapted, Path(job["output"]), settings, images=str(job["images"])
        )
    except CellpromptError as error:
        _tell(error=str(error))
        return 2
    except CancelledError:
        return 1
    _tell(
        path=str(path),
        better=adapted.better,
        figures=adapted.figures(),
        before=asdict(adapted.before),
        after=asdict(adapted.after),
        steps=adapted.steps,
        seconds=adapted.seconds,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
