from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.fakes import FakeSegmenter

from napari_cellprompt.core.errors import CellpromptError, CheckpointError, OutOfMemoryError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.types import Prompts, Tile
from napari_cellprompt.session.segment import LoadedSegmenter, SegmentSession
from napari_cellprompt.session.thread import InferenceThread

TIMEOUT = 10
CLICK = Prompts(points=((12.0, 10.0),), labels=(1,))


@pytest.fixture
def thread() -> Iterator[InferenceThread]:
    worker = InferenceThread("test-session")
    yield worker
    assert worker.shutdown(TIMEOUT)


@pytest.fixture
def fake() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def session(thread: InferenceThread, fake: FakeSegmenter) -> SegmentSession:
    return SegmentSession(thread=thread, loader=fake.load)


@pytest.fixture
def plane() -> PlaneSource:
    image = np.zeros((40, 50), dtype=np.uint8)
    image[6:16, 8:20] = 200
    return PlaneSource(image, axes=(0, 1), image_id="blob")


def test_predict_runs_on_the_inference_thread(
    session: SegmentSession, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    session.load_model("fake")
    prediction = session.predict(plane, CLICK, size_hint=9.0).result(TIMEOUT)
    assert prediction.best.mask.area == 120
    assert prediction.best.mask.box == (8, 6, 20, 16)
    assert fake.hints == [9.0]
    assert fake.threads.isdisjoint({threading.get_ident()})


def test_load_tells_name_and_device(session: SegmentSession) -> None:
    loaded = session.load_model("some-model").result(TIMEOUT)
    assert (loaded.name, loaded.device) == ("some-model", "cpu")


def test_requests_before_the_model_is_there_wait_for_it(
    thread: InferenceThread, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    release = threading.Event()

    def slow(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        assert release.wait(TIMEOUT)
        return fake.load(name, device, cache_bytes)

    session = SegmentSession(thread=thread, loader=slow)
    session.load_model("fake")
    prediction = session.predict(plane, CLICK)
    assert not prediction.done()
    release.set()
    assert prediction.result(TIMEOUT).best.mask.area == 120


def test_predict_without_a_model_says_so(
    session: SegmentSession, plane: PlaneSource
) -> None:
    with pytest.raises(CellpromptError, match="No model"):
        session.predict(plane, CLICK).result(TIMEOUT)


def test_failed_load_is_the_answer_to_later_requests(
    thread: InferenceThread, plane: PlaneSource
) -> None:
    def broken(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        raise CheckpointError(f"{name} is cut short.")

    session = SegmentSession(thread=thread, loader=broken)
    with pytest.raises(CheckpointError):
        session.load_model("bad.pt").result(TIMEOUT)
    with pytest.raises(CheckpointError, match=r"bad\.pt is cut short"):
        session.predict(plane, CLICK).result(TIMEOUT)


def test_a_model_that_failed_can_be_replaced(
    thread: InferenceThread, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    def loader(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        if name == "bad":
            raise CheckpointError("bad")
        return fake.load(name, device, cache_bytes)

    session = SegmentSession(thread=thread, loader=loader)
    session.load_model("bad").exception(TIMEOUT)
    session.load_model("good")
    assert session.predict(plane, CLICK).result(TIMEOUT).best.mask.area == 120


def test_newest_click_wins(
    session: SegmentSession, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    session.load_model("fake").result(TIMEOUT)
    fake.gate = threading.Event()
    running = session.predict(plane, CLICK)
    while not fake.predicted:
        pass
    middle = session.predict(plane, Prompts(points=((1.0, 1.0),), labels=(1,)))
    last = session.predict(plane, Prompts(points=((30.0, 30.0),), labels=(1,)))
    fake.gate.set()
    assert middle.cancelled()
    last.result(TIMEOUT)
    running.result(TIMEOUT)
    assert [prompts.points[0] for prompts in fake.predicted] == [
        (12.0, 10.0),
        (30.0, 30.0),
    ]


def test_prepare_waits_behind_clicks_and_can_be_dropped(
    session: SegmentSession, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    session.load_model("fake").result(TIMEOUT)
    fake.gate = threading.Event()
    first = session.predict(plane, CLICK)
    while not fake.predicted:
        pass
    session.prepare(plane, (1.0, 2.0))
    newest = session.prepare(plane, (3.0, 4.0))
    click = session.predict(plane, CLICK)
    click.add_done_callback(lambda future: fake.prepared.append((-1.0, -1.0)))
    fake.gate.set()
    newest.result(TIMEOUT)
    first.result(TIMEOUT)
    assert fake.prepared == [(-1.0, -1.0), (3.0, 4.0)]


def test_two_sessions_do_not_cancel_each_other(
    thread: InferenceThread, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    one = SegmentSession(thread=thread, loader=fake.load)
    two = SegmentSession(thread=thread, loader=fake.load)
    futures = [session.load_model("fake") for session in (one, two)]
    futures += [session.predict(plane, CLICK) for session in (one, two)]
    for future in futures:
        future.result(TIMEOUT)
    assert len(fake.predicted) == 2


def test_percentiles_are_computed_on_the_thread(session: SegmentSession) -> None:
    data = np.arange(1001, dtype=np.float32).reshape(7, 143)
    low, high = session.percentile_limits(data, 10, 90).result(TIMEOUT)
    assert low == pytest.approx(100, abs=1)
    assert high == pytest.approx(900, abs=1)


def test_model_view(session: SegmentSession, plane: PlaneSource) -> None:
    session.load_model("fake")
    view = session.model_view(plane, CLICK).result(TIMEOUT)
    assert view.pixels.dtype == np.uint8
    assert view.pixels[10, 12].tolist() == [200, 200, 200]


def test_model_view_of_the_tile_that_was_looked_at(
    session: SegmentSession, plane: PlaneSource
) -> None:
    session.load_model("fake")
    tile = Tile(2.0, 4, 6, 32)
    view = session.model_view(plane, CLICK, tile=tile).result(TIMEOUT)
    assert view.tile == tile
    assert view.pixels[2 * (10 - 4), 2 * (12 - 6)].tolist() == [200, 200, 200]


def test_close_drops_what_is_queued(
    session: SegmentSession, fake: FakeSegmenter, plane: PlaneSource
) -> None:
    session.load_model("fake").result(TIMEOUT)
    fake.gate = threading.Event()
    session.predict(plane, CLICK)
    while not fake.predicted:
        pass
    waiting = session.prepare(plane, (0.0, 0.0))
    session.close()
    assert waiting.cancelled()
    fake.gate.set()


class Crowded(FakeSegmenter):
    """Has no room on the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[str] = []

    def load(self, name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        self.devices.append(device)
        return LoadedSegmenter(self, name, "cuda:0" if device == "auto" else device)

    def predict(self, *arguments, **options):
        if self.devices[-1] != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().predict(*arguments, **options)


def test_the_processor_goes_on_where_the_gpu_is_full(
    thread: InferenceThread, plane: PlaneSource
) -> None:
    crowded = Crowded()
    session = SegmentSession(thread=thread, loader=crowded.load)
    session.load_model("some-model")
    with pytest.warns(RuntimeWarning, match="runs on the processor"):
        prediction = session.predict(plane, CLICK).result(TIMEOUT)
    assert prediction.best.mask.area == 120
    assert crowded.devices == ["auto", "cpu"]


def test_long_jobs_are_not_begun_again_by_themselves(
    thread: InferenceThread, plane: PlaneSource
) -> None:
    crowded, ran = Crowded(), []
    session = SegmentSession(thread=thread, loader=crowded.load)
    session.load_model("some-model")

    def job(segmenter, context):
        ran.append(1)
        return segmenter.predict(plane, CLICK)

    with (
        pytest.warns(RuntimeWarning, match="runs on the processor"),
        pytest.raises(OutOfMemoryError, match="try again"),
    ):
        session.submit(job, kind="long").result(TIMEOUT)
    assert ran == [1]
    assert session.submit(job, kind="long").result(TIMEOUT).best.mask.area == 120


def test_a_full_computer_is_a_sentence(session: SegmentSession) -> None:
    session.load_model("fake")

    def job(segmenter, context):
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="close other programs"):
        session.submit(job, kind="long").result(TIMEOUT)
