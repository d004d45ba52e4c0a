"""How alive the window stays while a model works, and how much it slows the model.

``python benchmarks/responsiveness.py [--json FILE] [--runs N] [--only-opening]`` (under
``xvfb-run -a`` where there is no display).

0. The widget *Segment* is opened in a fresh process with an image: the longest gap of a
   timer in the GUI thread until the model is there, and until the first mask of a click
   that is made at once. Beside it the same with a model that does nothing, so that PyTorch
   is not loaded: napari's own layers, docks and redraws.
1. A timer in the GUI thread beats every 2 ms while places of a 1024 x 1024 image that
   the model has not seen yet are clicked. The longest gap between two beats is set
   beside that of the same clicks with a predictor that does nothing: software GL alone
   costs tens of milliseconds a repaint.
2. The same timer while an object is followed through 24 planes of 512 x 512 and each
   plane is drawn as it is done: from the press of the button on, and from the first
   plane on. Beside it the same window doing nothing for as long, and napari adding an
   empty Labels layer, which the preview of a propagation is.
3. The same prediction, features not cached, on the inference thread of a process with an
   idle napari window and of one without, in turn; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import history
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

SIDE = 1024
PLACES = ((200.0, 220.0), (800.0, 300.0), (500.0, 820.0))
MODELS = ("cellprompt-nano", "sam2.1_hiera_tiny")


def picture() -> np.ndarray:
    """Noise with bright disks at the places that are clicked."""
    image = np.random.default_rng(0).integers(0, 60, (SIDE, SIDE)).astype(np.uint8)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    for x, y in PLACES:
        image[(rows - y) ** 2 + (columns - x) ** 2 < 20**2] = 200
    return image


def weights(name: str, folder: Path) -> str:
    """The bundled model by name, any other as a file of random weights."""
    from napari_cellprompt.core.networks.build import build_sam2
    from napari_cellprompt.core.zoo.load import save_checkpoint
    from napari_cellprompt.core.zoo.registry import get_spec

    spec = get_spec(name)
    if spec.bundled:
        return name
    path = folder / f"{name}.safetensors"
    network = build_sam2(image_size=spec.image_size, **dict(spec.network))
    save_checkpoint(path, network.state_dict(), spec)
    return str(path)


class DoNothing:
    """A predictor that answers each click at once with a small disk."""

    image_size = 512

    def predict(self, plane: Any, prompts: Any, **_: Any) -> Any:
        from napari_cellprompt.core.types import Candidate, CroppedMask, Prediction

        x, y = prompts.points[-1]
        rows, columns = np.ogrid[-20:21, -20:21]
        mask = rows**2 + columns**2 < 20**2
        cropped = CroppedMask(mask, (int(y) - 20, int(x) - 20), plane.shape)
        candidate = Candidate(cropped, np.where(mask, 8, -8).astype(np.float32), 0.9)
        return Prediction((candidate,) * 3, 1.0, 2.0, 0.0)

    def prepare(self, plane: Any, xy: tuple[float, float], **_: Any) -> None:
        """Nothing."""


class Heart:
    """Beats in the GUI thread and keeps the gaps."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._last = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        self.gaps.clear()
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> float:
        """Longest gap since the start, the one that runs included, in milliseconds."""
        self._timer.stop()
        return max([*self.gaps, time.perf_counter() - self._last]) * 1000

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Run the event loop until something is true."""
    from qtpy.QtTest import QTest

    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError
        QTest.qWait(5)


def clicks(widget: Any) -> None:
    """Click twice at each place and discard, as a user who tries would."""
    controller = widget.controller
    points = widget.form.points.value
    for x, y in PLACES:
        for shift in (0.0, 6.0):
            points.add([(y + shift, x + shift)])
            controller.refresh()
            wait(lambda: controller.prediction is not None and not controller.waiting)
        widget.discard()
        wait(lambda: controller.prediction is None)


def stalls(folder: Path, runs: int) -> dict[str, Any]:
    """Longest gap of the heartbeat for each model and for none, runs interleaved."""
    import napari
    from qtpy.QtTest import QTest

    from napari_cellprompt.session.segment import (
        LoadedSegmenter,
        SegmentSession,
        load_for_session,
    )
    from napari_cellprompt.session.thread import (
        Priority,
        shared_thread,
        shutdown_shared_thread,
    )
    from napari_cellprompt.widgets.segment.widget import SegmentWidget

    files = {name: weights(name, folder) for name in MODELS}

    def loader(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        if name in files:
            return load_for_session(files[name], "cpu", cache_bytes)
        return LoadedSegmenter(DoNothing(), name, "cpu")  # type: ignore[arg-type]

    viewer = napari.Viewer(show=True)
    viewer.add_image(picture(), name="image")
    session = SegmentSession(loader=loader)
    widget = SegmentWidget(viewer, session=session)
    viewer.window.add_dock_widget(widget)
    heart = Heart()
    gaps: dict[str, list[float]] = {name: [] for name in ("nothing", *MODELS)}
    seconds: dict[str, list[float]] = {name: [] for name in gaps}
    for run in range(runs + 1):
        for name in gaps:
            # New limits are a new plane to the cache, so that features are not there.
            widget.form.image.value.contrast_limits = (0, 200 + run)
            widget.controller.load_model(name, "cpu")
            wait(lambda: widget.controller.model is not None)
            # Let the features of the middle be prepared before the clock starts.
            QTest.qWait(600)
            idle = shared_thread().submit(
                lambda context: None, priority=Priority.PRECOMPUTE
            )
            wait(idle.done)
            heart.start()
            started = time.perf_counter()
            clicks(widget)
            if run:
                gaps[name].append(heart.stop())
                seconds[name].append(time.perf_counter() - started)
            else:
                heart.stop()
    viewer.close()
    shutdown_shared_thread()
    return {
        name: {
            "longest_gap_ms": [round(gap, 1) for gap in gaps[name]],
            "interaction_s": [round(value, 2) for value in seconds[name]],
        }
        for name in gaps
    }


def following(runs: int) -> dict[str, list[float]]:
    """Longest gap while an object is followed through a z-stack, and in an idle window."""
    import napari
    from qtpy.QtTest import QTest

    from napari_cellprompt.session.thread import shutdown_shared_thread
    from napari_cellprompt.widgets.segment.widget import SegmentWidget
    from napari_cellprompt.widgets.shared.docks import open_dock

    planes, side = 24, 512
    stack = np.random.default_rng(0).integers(0, 60, (planes, side, side)).astype(np.uint8)
    rows, columns = np.ogrid[:side, :side]
    stack[:, (rows - 256) ** 2 + (columns - 256) ** 2 < 20**2] = 200
    viewer = napari.Viewer(show=True)
    viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, planes // 2)
    segment = SegmentWidget(viewer)
    viewer.window.add_dock_widget(segment)
    widget = open_dock(viewer, "Propagate")
    follow, desk, heart = widget.controller, widget.desk, Heart()
    names = ("idle window", "napari adds a layer", "from the button", "from plane 1")
    gaps: dict[str, list[float]] = {name: [] for name in names}
    for run in range(runs + 1):
        # new limits are new planes to the cache
        segment.form.image.value.contrast_limits = (0, 200 + run)
        wait(lambda: segment.controller.model is not None)
        segment.form.points.value.add([(planes // 2, 256.0, 256.0)])
        wait(lambda: segment.controller.prediction is not None)
        started = time.perf_counter()
        heart.start()
        widget.start()
        wait(lambda: desk.stage in ("announced", "running", "review"))
        if desk.stage == "announced":
            widget.start()
        wait(lambda: desk.stage == "review" or desk.progress is not None)
        first = heart.stop()
        heart.start()
        wait(lambda: desk.stage == "review")
        later, seconds = heart.stop(), time.perf_counter() - started
        tracked = len(desk.run.engine.outcomes())
        if tracked < planes:
            raise RuntimeError(f"only {tracked} of {planes} planes were followed")
        follow.discard()
        wait(lambda: desk.stage == "idle")
        segment.discard()
        QTest.qWait(500)
        heart.start()
        QTest.qWait(round(seconds * 1000))
        idle = heart.stop()
        heart.start()
        layer = viewer.add_labels(np.zeros_like(stack))
        QTest.qWait(200)
        adding = heart.stop()
        viewer.layers.remove(layer)
        if run:
            for name, gap in zip(
                names, (idle, adding, max(first, later), later), strict=True
            ):
                gaps[name].append(round(gap, 1))
    viewer.close()
    shutdown_shared_thread()
    return gaps


def open_once(model: str) -> None:
    """Open the widget in this fresh process, click at once, print what it took as JSON."""
    import napari
    import npe2
    from qtpy.QtTest import QTest

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.add_image(picture(), name="image")
    # what napari does while it starts, and what its first layer of points brings along
    npe2.PluginManager.instance().discover()
    viewer.layers.remove(viewer.add_points(ndim=2))
    QTest.qWait(1500)
    heart = Heart()
    started = time.perf_counter()
    heart.start()
    from napari_cellprompt.session.segment import LoadedSegmenter, SegmentSession
    from napari_cellprompt.widgets.segment.widget import SegmentWidget

    imported = time.perf_counter()
    session = None
    if model == "nothing":
        session = SegmentSession(
            loader=lambda *_: LoadedSegmenter(DoNothing(), model, "cpu")  # type: ignore[arg-type]
        )
    widget = SegmentWidget(viewer, session=session)
    built = time.perf_counter()
    viewer.window.add_dock_widget(widget)
    docked = time.perf_counter()
    QTest.qWait(1)
    opening = heart.stop()
    heart.start()
    x, y = PLACES[0]
    widget.form.points.value.add([(y, x)])
    wait(lambda: widget.controller.model is not None)
    loaded, loading = time.perf_counter(), heart.stop()
    heart.start()
    wait(lambda: widget.controller.prediction is not None)
    answered, click = time.perf_counter(), heart.stop()
    row = {
        "import_s": imported - started,
        "build_s": built - imported,
        "dock_s": docked - built,
        "loaded_s": loaded - docked,
        "answer_s": answered - docked,
        "opening_gap_ms": opening,
        "loading_gap_ms": loading,
        "click_gap_ms": click,
        "torch": float("torch" in sys.modules),
    }
    viewer.close()
    print(json.dumps({name: round(value, 3) for name, value in row.items()}), flush=True)


def opening(runs: int) -> dict[str, dict[str, float]]:
    """Medians of ``open_once`` in fresh processes, with a model and without, in turn."""
    rows: dict[str, list[dict[str, float]]] = {"nothing": [], DEFAULT_MODEL: []}
    for _ in range(runs):
        for model, done in rows.items():
            answer = subprocess.run(
                [sys.executable, __file__, "--child", "opening", "--model", model],
                capture_output=True,
                text=True,
                check=True,
            )
            done.append(json.loads(answer.stdout.splitlines()[-1]))
    return {
        model: {
            name: round(statistics.median(row[name] for row in done), 3) for name in done[0]
        }
        for model, done in rows.items()
    }


def opening_rows(measured: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """For the history: a row for each model."""
    return [{"model": model, **row} for model, row in measured.items()]


def child(kind: str, model: str) -> None:
    """Predict once for each line on stdin, with or without a window."""
    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import Prompts
    from napari_cellprompt.session.segment import SegmentSession

    session = SegmentSession()
    session.load_model(model, "cpu").result()
    image = picture()
    window = kind == "window"
    if window:
        import napari

        viewer = napari.Viewer(show=True)
        viewer.add_image(image)
        from qtpy.QtWidgets import QApplication

        for _ in range(20):
            QApplication.processEvents()
            time.sleep(0.02)
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        plane = PlaneSource(image, axes=(0, 1), image_id=f"image {number}")
        started = time.perf_counter()
        future = session.predict(plane, Prompts(points=(PLACES[0],), labels=(1,)))
        if window:
            wait(future.done)
        else:
            future.result()
        print(time.perf_counter() - started, flush=True)


def slowdown(model: str, runs: int) -> dict[str, Any]:
    """Median seconds of a prediction in a process with a window and in one without."""
    children = {
        kind: subprocess.Popen(
            [sys.executable, __file__, "--child", kind, "--model", model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in ("plain", "window")
    }
    times: dict[str, list[float]] = {kind: [] for kind in children}
    for process in children.values():
        process.stdout.readline()  # type: ignore[union-attr]
    for run in range(runs + 1):
        for kind, process in children.items():
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            seconds = float(process.stdout.readline())  # type: ignore[union-attr]
            if run:
                times[kind].append(seconds)
    for process in children.values():
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(60)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    return {
        "plain_s": round(medians["plain"], 3),
        "window_s": round(medians["window"], 3),
        "ratio": round(medians["window"] / medians["plain"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only-opening", action="store_true")
    parser.add_argument("--child", choices=("plain", "window", "opening"))
    parser.add_argument("--model", default=MODELS[0])
    arguments = parser.parse_args()
    if arguments.child == "opening":
        open_once(arguments.model)
        return
    if arguments.child:
        child(arguments.child, arguments.model)
        return
    result: dict[str, Any] = {"opening": opening(arguments.runs)}
    print("\nopening the widget in a fresh process (medians)")
    for model, row in result["opening"].items():
        print(f"{model:20} " + "  ".join(f"{key} {value:g}" for key, value in row.items()))
    if arguments.only_opening:
        print(history.record("opening", opening_rows(result["opening"])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result["heartbeat"] = stalls(folder, arguments.runs)
        result["following"] = following(arguments.runs)
        for model in MODELS:
            path = weights(model, folder)
            result.setdefault("thread", {})[model] = slowdown(path, arguments.runs)
    print("\nlongest gap between beats of the GUI thread (median of runs)")
    idle = statistics.median(result["heartbeat"]["nothing"]["longest_gap_ms"])
    for name, row in result["heartbeat"].items():
        gap = statistics.median(row["longest_gap_ms"])
        took = statistics.median(row["interaction_s"])
        print(f"{name:20} {gap:7.1f} ms ({gap - idle:+7.1f})   {took:6.2f} s for 6 clicks")
    print("\nlongest gap while an object is followed through 24 planes (median of runs)")
    for name, values in result["following"].items():
        print(f"{name:20} {statistics.median(values):7.1f} ms")
    print("\none prediction with cold features on the inference thread")
    for name, row in result["thread"].items():
        print(
            f"{name:20} {row['plain_s']:7.3f} s without a window, "
            f"{row['window_s']:7.3f} s beside one: x {row['ratio']:.2f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
