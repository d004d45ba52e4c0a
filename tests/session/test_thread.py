from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from napari_cellprompt.session.thread import (
    InferenceThread,
    JobContext,
    Priority,
    shared_thread,
    shutdown_shared_thread,
)

TIMEOUT = 10


@pytest.fixture
def thread() -> Iterator[InferenceThread]:
    worker = InferenceThread("test-inference")
    yield worker
    assert worker.shutdown(TIMEOUT)


class Gate:
    """A job that holds the thread until it is opened."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.open = threading.Event()
        self.context: JobContext | None = None

    def __call__(self, context: JobContext) -> str:
        self.context = context
        self.started.set()
        assert self.open.wait(TIMEOUT)
        return "done"


@pytest.fixture
def gate(thread: InferenceThread) -> Iterator[Gate]:
    held = Gate()
    yield held
    held.open.set()


def test_result_and_error_go_to_the_future(thread: InferenceThread) -> None:
    def fail(context: JobContext) -> None:
        raise ValueError("no good")

    assert thread.submit(lambda context: 3).result(TIMEOUT) == 3
    with pytest.raises(ValueError, match="no good"):
        thread.submit(fail).result(TIMEOUT)
    assert thread.submit(lambda context: 4).result(TIMEOUT) == 4


def test_all_jobs_run_on_one_thread_that_is_not_this_one(thread: InferenceThread) -> None:
    names = [
        thread.submit(lambda context: threading.get_ident()).result(TIMEOUT)
        for _ in range(5)
    ]
    assert len(set(names)) == 1
    assert names[0] != threading.get_ident()


def test_urgent_jobs_go_first(thread: InferenceThread, gate: Gate) -> None:
    order: list[str] = []
    thread.submit(gate)
    assert gate.started.wait(TIMEOUT)
    jobs = [
        ("precompute", Priority.PRECOMPUTE),
        ("neighbour", Priority.NEIGHBOUR),
        ("click 1", Priority.CLICK),
        ("click 2", Priority.CLICK),
    ]
    futures = [
        thread.submit(lambda context, name=name: order.append(name), priority=priority)
        for name, priority in jobs
    ]
    gate.open.set()
    for future in futures:
        future.result(TIMEOUT)
    assert order == ["click 1", "click 2", "neighbour", "precompute"]


def test_newest_generation_wins(thread: InferenceThread, gate: Gate) -> None:
    running = thread.submit(gate, group="g", generation=1)
    assert gate.started.wait(TIMEOUT)
    queued = thread.submit(lambda context: "old", group="g", generation=2)
    other = thread.submit(lambda context: "other", group="h", generation=1)
    newest = thread.submit(lambda context: "new", group="g", generation=3)
    late = thread.submit(lambda context: "late", group="g", generation=2)
    assert queued.cancelled()
    assert late.cancelled()
    assert gate.context is not None
    assert gate.context.cancelled()
    gate.open.set()
    assert running.result(TIMEOUT) == "done"
    assert newest.result(TIMEOUT) == "new"
    assert other.result(TIMEOUT) == "other"


def test_same_generation_does_not_cancel(thread: InferenceThread, gate: Gate) -> None:
    thread.submit(gate)
    futures = [thread.submit(lambda context, i=i: i, group="g") for i in range(3)]
    gate.open.set()
    assert [future.result(TIMEOUT) for future in futures] == [0, 1, 2]


def test_cancel_of_a_group(thread: InferenceThread, gate: Gate) -> None:
    thread.submit(gate, group="g")
    assert gate.started.wait(TIMEOUT)
    queued = thread.submit(lambda context: 1, group="g")
    kept = thread.submit(lambda context: 2, group="h")
    thread.cancel("g")
    assert queued.cancelled()
    assert gate.context is not None
    assert gate.context.cancelled()
    gate.open.set()
    assert kept.result(TIMEOUT) == 2


def test_cancelled_future_never_runs(thread: InferenceThread, gate: Gate) -> None:
    thread.submit(gate)
    ran: list[int] = []
    future = thread.submit(lambda context: ran.append(1))
    assert future.cancel()
    gate.open.set()
    thread.submit(lambda context: None).result(TIMEOUT)
    assert ran == []


def test_progress_is_passed_on(thread: InferenceThread) -> None:
    steps: list[tuple[int, int, str]] = []

    def job(context: JobContext) -> None:
        for step in range(3):
            context.progress(step, 3, "tiles")

    thread.submit(job, on_progress=lambda *step: steps.append(step)).result(TIMEOUT)
    assert steps == [(0, 3, "tiles"), (1, 3, "tiles"), (2, 3, "tiles")]


def test_submit_from_a_callback_does_not_deadlock(thread: InferenceThread) -> None:
    again: list[object] = []
    first = thread.submit(lambda context: 1)
    first.add_done_callback(lambda future: again.append(thread.submit(lambda context: 2)))
    first.result(TIMEOUT)
    thread.submit(lambda context: None).result(TIMEOUT)
    assert again[0].result(TIMEOUT) == 2  # type: ignore[attr-defined]


def test_shutdown_drops_the_queue(thread: InferenceThread, gate: Gate) -> None:
    thread.submit(gate)
    assert gate.started.wait(TIMEOUT)
    queued = thread.submit(lambda context: 1)
    assert not thread.shutdown(0.01)
    assert queued.cancelled()
    assert gate.context is not None
    assert gate.context.cancelled()
    with pytest.raises(RuntimeError, match="shut down"):
        thread.submit(lambda context: 1)
    gate.open.set()
    assert thread.shutdown(TIMEOUT)


def test_results_are_not_kept_alive_by_the_thread(thread: InferenceThread) -> None:
    import weakref

    class Big:
        pass

    big = Big()
    reference = weakref.ref(big)
    thread.submit(lambda context, big=big: None).result(TIMEOUT)
    del big
    thread.submit(lambda context: None).result(TIMEOUT)
    assert reference() is None


def test_torch_thread_count_is_left_alone(thread: InferenceThread) -> None:
    import torch

    before = torch.get_num_threads()
    inside = thread.submit(lambda context: torch.get_num_threads()).result(TIMEOUT)
    assert torch.get_num_threads() == before
    assert inside == before


def test_shared_thread_is_one_and_starts_again() -> None:
    first = shared_thread()
    assert shared_thread() is first
    assert shutdown_shared_thread(TIMEOUT)
    second = shared_thread()
    assert second is not first
    assert second.submit(lambda context: 5).result(TIMEOUT) == 5
    assert shutdown_shared_thread(TIMEOUT)
