"""Workers by dask.distributed: on this computer, or of a scheduler that runs elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Answer", "Workers", "choose_workers", "connected", "stream"]

_BYTES_A_WORKER = 3 * 2**30
"""A model, its features and an image."""
_CORES_A_WORKER = 2
_WAIT = 20
"""Seconds to wait for a scheduler, and for the first of its workers."""


@dataclass(frozen=True, slots=True)
class Workers:
    """A cluster that answers."""

    client: Any
    count: int
    dashboard: str | None
    """Address of a page on what the workers do, where there is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one item."""

    item: Any
    value: Any
    """What the function returned; None where it failed for good."""
    problem: str
    """Why it failed, else empty."""
    attempts: int
    error: BaseException | None = None
    """What was raised, where it failed."""


def choose_workers(wanted: int | None) -> int:
    """How many processes to start on this computer.

    Raises
    ------
    ImageError
        Where fewer than one are wanted.
    """
    if wanted is not None:
        if wanted < 1:
            raise ImageError(f"--workers must be at least 1: got {wanted}.")
        return wanted
    try:
        import psutil

        memory = int(psutil.virtual_memory().available)
    except ImportError:
        memory = _BYTES_A_WORKER
    cores = os.cpu_count() or 1
    return max(1, min(cores // _CORES_A_WORKER, memory // _BYTES_A_WORKER))


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None) -> Iterator[Workers]:
    """Connect to a scheduler, or start workers on this computer for the time of the block.

    Raises
    ------
    ImageError
        Where dask.distributed is missing, or the scheduler does not answer.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImageError(
            "Batches need dask.distributed: pip install napari-cellprompt[batch]."
        ) from error
    with contextlib.ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(_client_of(Client, scheduler))
            try:
                # one that died a moment ago may be on its way back
                client.wait_for_workers(1, timeout=_WAIT)
            except TimeoutError as error:
                raise ImageError(f"The scheduler at {scheduler} has no workers.") from error
            count = len(client.scheduler_info(n_workers=-1)["workers"])
            yield Workers(client, count, client.dashboard_link or None)
            return
        count = choose_workers(workers)
        threads = max(1, (os.cpu_count() or 1) // count)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        settings = {
            f"distributed.nanny.pre-spawn-environ.{name}": os.environ.get(name, threads)
            for name in names
        }
        stack.enter_context(dask.config.set(settings))
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="cellprompt-", ignore_cleanup_errors=True)
        )
        with_page = importlib.util.find_spec("bokeh") is not None
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                # not None: the server would take 8787 all the same, which may be in use
                dashboard_address="127.0.0.1:0",
                local_directory=folder,
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(Client(cluster))
        yield Workers(client, count, cluster.dashboard_link if with_page else None)


def stream(
    workers: Workers,
    function: Callable[[Any, int], Any],
    items: Iterable[Any],
    *,
    retries: int,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Answer]:
    """Call a function for every item on the workers; answers come as they are ready.

    A few items more than there are workers are on their way at a time, so that a batch
    can be stopped. Of a worker that dies only the items that it worked on are done again.

    Parameters
    ----------
    workers
        The cluster.
    function
        Called with an item and the number of the attempt; both must travel.
    items
        What is to be done.
    retries
        How often an item that failed unexpectedly, or killed its worker, is tried again.
    stop
        Where it says so no further item is handed out; those on their way are waited for.
    """
    from distributed import KilledWorker, as_completed

    left = iter(items)
    tries: dict[Any, tuple[Any, int]] = {}
    ready = as_completed()

    def hand_out(item: Any, attempt: int) -> None:
        future = workers.client.submit(function, item, attempt, pure=False)
        tries[future.key] = (item, attempt)
        ready.add(future)

    def top_up() -> None:
        while len(tries) < 2 * workers.count and not stop():
            item = next(left, None)
            if item is None:
                return
            hand_out(item, 1)

    top_up()
    for future in ready:
        item, attempt = tries.pop(future.key)
        problem, value, error = "", None, None
        if future.status == "finished":
            value = future.result()
        else:
            error = future.exception()
            # dask has tried again already where a worker died; a sentence for the user
            # will be the same again
            killed = isinstance(error, KilledWorker)
            final = killed or isinstance(error, CellpromptError)
            if not final and attempt <= retries and not stop():
                hand_out(item, attempt + 1)
                continue
            problem = (
                "Its worker died each time, probably for want of memory."
                if killed
                else str(error)
                if final
                else f"{type(error).__name__}: {error}"
            )
        yield Answer(item, value, problem, attempt, error)
        top_up()


def _client_of(kind: Any, address: str) -> Any:
    try:
        return kind(address, timeout=_WAIT)
    except (OSError, TimeoutError, ValueError) as error:
        raise ImageError(
            f"No Dask scheduler answers at {address} (such as tcp://host:8786): {error}."
        ) from error
