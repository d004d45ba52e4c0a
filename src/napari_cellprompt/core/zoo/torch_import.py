"""PyTorch is loaded without holding up the other threads of the process.

Plain ``import torch`` in a thread stalls a window all the same. Python holds its lock
while the system loads an extension module with the hundreds of megabytes it links to, a
second on two busy cores; and the import makes so many objects that Python's collector
goes through all objects of the process several times, a quarter of a second each.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["collector_at_rest", "load_libraries", "load_torch"]


_once = threading.Lock()


def load_torch() -> None:
    """Import torch, if it is not imported yet, without long hold of Python's lock.

    Whatever may be the first to import torch while a window is open calls this before.
    """
    with _once:
        if "torch" in sys.modules:
            return
        load_libraries()
        with collector_at_rest():
            import torch  # noqa: F401


def load_libraries() -> list[Path]:
    """Load torch's shared libraries into the process, and return those that were.

    They are loaded by the system's ``dlopen`` as a foreign function, which runs without
    Python's lock; ``ctypes.CDLL`` and the import of a module hold it. The import that
    comes next finds them loaded. On Windows torch itself loads them as foreign functions.
    """
    if os.name != "posix":
        return []
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "lib"
    suffix = "dylib" if sys.platform == "darwin" else "so"
    process = ctypes.CDLL(None)
    if not hasattr(process, "dlopen"):
        return []
    process.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    process.dlopen.restype = ctypes.c_void_p
    loaded = []
    for name, flags in (
        # in the order, and visible as far, as torch's own import loads them
        ("libtorch_global_deps", os.RTLD_LAZY | os.RTLD_GLOBAL),
        ("libtorch", os.RTLD_NOW | os.RTLD_LOCAL),
    ):
        path = folder / f"{name}.{suffix}"
        # what cannot be loaded here, the import loads or explains
        if path.is_file() and process.dlopen(os.fsencode(path), flags):
            loaded.append(path)
    return loaded


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let nobody go through the objects that are made inside, as they are there to stay.

    Python's collector pauses, and at the end they move to the oldest generation without
    being counted as news there, so that they set off no full collection either.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # not where something is frozen on purpose: it would be thawed
        if gc.get_freeze_count() == 0:
            gc.freeze()
            gc.unfreeze()
        if was_on:
            gc.enable()
