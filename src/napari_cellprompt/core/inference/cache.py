"""Features that were computed once, kept within a budget of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["FeatureCache"]

Value = TypeVar("Value")


class FeatureCache(Generic[Value]):
    """Keep what was used last; forget what was not used for longest.

    Safe to use from several threads. The entry put last always stays, even when it
    alone is larger than the budget: the next click on the same tile needs it.

    Parameters
    ----------
    budget_bytes
        How much all entries may hold together.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = int(budget_bytes)
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that all entries hold together, as told to ``put``."""
        with self._lock:
            return self._nbytes

    @property
    def budget_bytes(self) -> int:
        """Bytes that all entries may hold together; set it to shrink the cache."""
        with self._lock:
            return self._budget

    @budget_bytes.setter
    def budget_bytes(self, value: int) -> None:
        with self._lock:
            self._budget = int(value)
            self._shrink()

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._entries

    def get(self, key: Hashable) -> Value | None:
        """Return the entry and count it as just used; None when it is not there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: Value, nbytes: int) -> None:
        """Keep ``value``, which holds ``nbytes``, and forget old entries to make room."""
        with self._lock:
            self._remove(key)
            self._entries[key] = (value, int(nbytes))
            self._nbytes += int(nbytes)
            self._shrink()

    def drop(self, predicate: Callable[[Hashable], bool]) -> int:
        """Forget every entry whose key satisfies ``predicate``; return how many."""
        with self._lock:
            keys = [key for key in self._entries if predicate(key)]
            for key in keys:
                self._remove(key)
            return len(keys)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    def _remove(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._nbytes -= entry[1]

    def _shrink(self) -> None:
        while self._nbytes > self._budget and len(self._entries) > 1:
            _, (_, nbytes) = self._entries.popitem(last=False)
            self._nbytes -= nbytes
