"""The one thread on which models load and run.

A fresh thread per call would make OpenMP build a new pool of workers each time and
run many times slower, so one daemon thread serves the whole process. Results are
handed out as :class:`concurrent.futures.Future` objects; callers that own a user
interface carry them to its thread themselves.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

__all__ = [
    "InferenceThread",
    "JobContext",
    "Priority",
    "shared_thread",
    "shutdown_shared_thread",
]

T = TypeVar("T")
ProgressCallback = Callable[[int, int, str], None]


class Priority(IntEnum):
    """What is run first; equal priorities run in the order of their submission."""

    CLICK = 0
    NEIGHBOUR = 1
    PRECOMPUTE = 2


class JobContext:
    """What a running job knows of the outside world.

    Parameters
    ----------
    generation : int
        The generation that the job was submitted with.
    on_progress : callable, optional
        Called as ``on_progress(done, total, text)`` on the inference thread.
    """

    __slots__ = ("_cancelled", "_on_progress", "generation")

    def __init__(
        self, generation: int = 0, on_progress: ProgressCallback | None = None
    ) -> None:
        self.generation = generation
        self._on_progress = on_progress
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the job to stop at the next place where it looks."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Whether the result is no longer wanted; long jobs look between steps."""
        return self._cancelled.is_set()

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Tell whoever submitted the job that ``done`` of ``total`` steps are over."""
        if self._on_progress is not None:
            self._on_progress(done, total, text)


@dataclass(order=True, slots=True)
class _Job:
    priority: int
    order: int
    run: Callable[[JobContext], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)
    context: JobContext = field(compare=False)
    group: str = field(compare=False)

    def execute(self) -> None:
        """Run the job; every error goes to the future, none to the thread."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.run(self.context)
        except BaseException as error:  # the thread must outlive every job
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class InferenceThread:
    """A daemon thread that runs submitted jobs one at a time, most urgent first.

    The thread starts with the first job. It never changes how many threads torch
    uses, which belongs to the user's process.

    Parameters
    ----------
    name : str
        Name of the thread, as debuggers show it.
    """

    def __init__(self, name: str = "cellprompt-inference") -> None:
        self._name = name
        self._queue: list[_Job] = []
        self._order = itertools.count()
        self._newest: dict[str, int] = {}
        self._running: _Job | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(
        self,
        job: Callable[[JobContext], T],
        *,
        generation: int = 0,
        group: str = "",
        priority: Priority = Priority.CLICK,
        on_progress: ProgressCallback | None = None,
    ) -> Future[T]:
        """Queue a job and return the future of its result.

        Parameters
        ----------
        job : callable
            Called with a :class:`JobContext` on the inference thread.
        generation : int
            Within one group, a job of a newer generation cancels the older ones: those
            still queued never run, and the one that runs is told so by its context.
            A job older than the newest seen is cancelled at once.
        group : str
            Jobs that replace one another. The empty string means no group.
        priority : Priority
            Which jobs go first.
        on_progress : callable, optional
            Receives what the job reports, on the inference thread.

        Raises
        ------
        RuntimeError
            After :meth:`shutdown`.
        """
        future: Future[T] = Future()
        entry = _Job(
            priority=int(priority),
            order=next(self._order),
            run=job,
            future=future,
            context=JobContext(generation, on_progress),
            group=group,
        )
        with self._wake:
            if self._closed:
                raise RuntimeError("The inference thread was shut down.")
            if group and generation < self._newest.get(group, generation):
                stale = [entry]
            else:
                stale = self._take(
                    lambda other: (
                        group != ""
                        and other.group == group
                        and other.context.generation < generation
                    )
                )
                if group:
                    self._newest[group] = generation
                heapq.heappush(self._queue, entry)
                self._start()
                self._wake.notify()
        _cancel_all(stale)
        return future

    def cancel(self, group: str) -> None:
        """Drop the queued jobs of a group and ask its running one to stop."""
        with self._wake:
            stale = self._take(lambda job: job.group == group)
            self._newest.pop(group, None)
        _cancel_all(stale)

    def shutdown(self, timeout: float | None = None) -> bool:
        """Drop what is queued, ask the running job to stop, and wait for the thread.

        Returns whether the thread ended within ``timeout`` seconds.
        """
        with self._wake:
            self._closed = True
            stale = self._take(lambda job: True)
            thread = self._thread
            self._wake.notify()
        _cancel_all(stale)
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether :meth:`shutdown` was called."""
        return self._closed

    def _take(self, wanted: Callable[[_Job], bool]) -> list[_Job]:
        """Remove matching jobs from the queue and flag the running one (lock held)."""
        taken = [job for job in self._queue if wanted(job)]
        if taken:
            self._queue = [job for job in self._queue if not wanted(job)]
            heapq.heapify(self._queue)
        if self._running is not None and wanted(self._running):
            self._running.context.cancel()
        return taken

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                job = heapq.heappop(self._queue)
                self._running = job
            job.execute()
            with self._wake:
                self._running = None
            # Without this the last job's result would live until the next one.
            del job


def _cancel_all(jobs: list[_Job]) -> None:
    """Cancel futures outside the lock, since their callbacks may submit again."""
    for job in jobs:
        job.context.cancel()
        job.future.cancel()
        # Waiters on a cancelled future are only woken by this.
        job.future.set_running_or_notify_cancel()


_shared: InferenceThread | None = None
_shared_lock = threading.Lock()


def shared_thread() -> InferenceThread:
    """The inference thread of this process; a new one after a shutdown."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.closed:
            _shared = InferenceThread()
        return _shared


def shutdown_shared_thread(timeout: float | None = 5.0) -> bool:
    """End the shared thread, as tests and the end of the process do."""
    with _shared_lock:
        thread = _shared
    return True if thread is None else thread.shutdown(timeout)


# A daemon thread inside a torch operator while the interpreter is torn down can crash
# the process; give it a moment to finish.
atexit.register(shutdown_shared_thread)
