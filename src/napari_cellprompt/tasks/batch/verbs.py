"""Which tasks a job may ask for, and how each is carried out for one image."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

__all__ = ["VERBS", "Verb", "load_by_name"]

_REQUESTS = "napari_cellprompt.tasks.requests"


@dataclass(frozen=True, slots=True)
class Verb:
    """A task: names instead of classes, so that nothing is imported before it is needed."""

    request: str
    """``module:Class`` of the request, whose fields are what a job may say."""
    run: str
    """``module:function`` that takes a request and a report."""
    image: str = "image"
    """Field of the request for the image of an item."""
    output: str = "output"
    """Field of the request for the label TIFF of an item."""
    left: tuple[str, ...] = ()
    """Fields that make no sense for one image of many."""
    one_of: tuple[str, ...] = ()
    """Fields of which a job must say one."""

    def request_class(self) -> type[Any]:
        """The class of the request."""
        loaded: type[Any] = load_by_name(self.request)
        return loaded


def load_by_name(name: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


VERBS = {
    "segment": Verb(
        request=f"{_REQUESTS}:SegmentRequest",
        run="napari_cellprompt.tasks.segment:run",
        one_of=("prompts", "refine"),
    ),
    "everything": Verb(
        request=f"{_REQUESTS}:EverythingRequest",
        run="napari_cellprompt.tasks.everything:run",
    ),
    "propagate": Verb(
        request=f"{_REQUESTS}:PropagateRequest",
        run="napari_cellprompt.tasks.propagate:run",
    ),
    "fewshot": Verb(
        request=f"{_REQUESTS}:FewshotRequest",
        run="napari_cellprompt.tasks.batch.fewshot:run",
        image="folder",
        left=("save_bank", "again"),
    ),
}
"""By the word after ``task:`` in a job."""
