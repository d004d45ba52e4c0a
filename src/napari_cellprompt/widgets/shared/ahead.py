"""Modules that napari needs for a layer are imported beside the window."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from napari_cellprompt.core.zoo.torch_import import collector_at_rest
from napari_cellprompt.session.zoo import in_background

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bridge import ResultBridge

__all__ = ["when_imported"]


def when_imported(module: str, bridge: ResultBridge, then: Callable[[], None]) -> None:
    """Do something as soon as a module is imported: at once where it is.

    Parameters
    ----------
    module : str
        What takes long to import.
    bridge : ResultBridge
        Calls ``then`` on its thread; not at all once it is closed.
    then : callable
        Called too where the import fails: whoever needs the module says so.
    """
    if module in sys.modules and not _under_way(module):
        then()
        return

    def load() -> None:
        with collector_at_rest():
            importlib.import_module(module)

    bridge.deliver(in_background(load, "cellprompt-ahead"), lambda _: then())


def _under_way(module: str) -> bool:
    """Whether another thread is in the middle of the import."""
    spec = getattr(sys.modules[module], "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
