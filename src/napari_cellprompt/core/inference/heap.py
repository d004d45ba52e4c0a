"""Hands freed memory back to the operating system."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

__all__ = ["give_back_memory"]


@functools.cache
def _malloc_trim() -> Any:
    """The C library's function, where it is glibc's; else None."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back_memory() -> None:
    """Return what was freed; does nothing where the C library does so by itself.

    glibc keeps the freed tensors of plane after plane for reuse, but few fit again: in a
    long stack that is a hundred megabytes which look as if they were in use.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)
