"""What to do when a device has no memory left: free, halve the batch, say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from napari_cellprompt.core.errors import OutOfMemoryError

from .heap import give_back_memory

__all__ = ["free_memory", "in_batches", "is_out_of_memory", "out_of_memory"]

T = TypeVar("T")

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""What the messages of CUDA, MPS and the processor's allocator have in common."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the computer, is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def free_memory() -> None:
    """Give back what torch and the C library keep for reuse."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    give_back_memory()


def in_batches(count: int, size: int, run: Callable[[int, int], T]) -> list[T]:
    """Run over ``count`` items in batches, in smaller ones where memory ends.

    Parameters
    ----------
    count
        Number of items.
    size
        Items of a batch to begin with.
    run
        ``run(start, stop)``; called again with fewer items where it found no memory.

    Raises
    ------
    OutOfMemoryError
        Where there is no memory for a single item.
    """
    results, start = [], 0
    while start < count:
        try:
            result = run(start, min(start + size, count))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise out_of_memory() from error
            # beyond this block, so that the error lets go of the tensors it saw
            full = True
        else:
            results.append(result)
            start, full = start + size, False
        if full:
            free_memory()
            size = max(1, size // 2)
    return results


def out_of_memory() -> OutOfMemoryError:
    """The error to raise when nothing helps any more."""
    return OutOfMemoryError(
        "There is not enough memory for this model: close other programs, choose a "
        "smaller model, or let it run on the processor (device cpu)."
    )
