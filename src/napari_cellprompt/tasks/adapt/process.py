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

__all__ = ["JOB", "MARKED", "NICE", "main", "step_back"]

JOB, MARKED = "job.json", "marked.npz"
NICE = 15
"""How far everything else goes first, where the job does not say; 0: not at all."""


def _tell(**news: Any) -> None:
    print(json.dumps(news), flush=True)


def step_back(nice: int) -> None:
    """Let everything else go first: ``nice`` from 0, not at all, to 19."""
    if not nice:
        return
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(nice)
    # Linux may weigh whole sessions of processes and count niceness within each only. That
    # of a session is set where this process is alone in it, not where it is a shell's.
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")


def main(folder: Path) -> int:
    """Adapt as the job says; the exit code."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    step_back(int(job.get("nice", NICE)))
    from concurrent.futures import CancelledError

    from napari_cellprompt.core.adapt.adapting import adapt_model
    from napari_cellprompt.core.adapt.lessons import Lessons, load_marked
    from napari_cellprompt.core.adapt.saving import write_adapted
    from napari_cellprompt.core.adapt.settings import AdaptSettings
    from napari_cellprompt.core.errors import CellpromptError
    from napari_cellprompt.core.zoo.load import load_model
    from napari_cellprompt.tasks.adapt.adapting import crop_wise

    parent = os.getppid()
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
        before=asdict(adapted.before),
        after=asdict(adapted.after),
        steps=adapted.steps,
        seconds=adapted.seconds,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
