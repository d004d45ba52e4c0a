"""The video predictor beside Meta's ``sam2`` on the same weights and frames, in one run.

``python benchmarks/video_speed.py [--parts exact pooled roi correct memory] [--quick]``;
needs the extra ``parity``.

Both sides take turns frame by frame, so that a machine whose speed drifts slows both: the
ratios hold where the seconds do not. SAM 2.1 tiny has random weights that keep objects
present. Memory is the growth of the resident set of a process of its own for each side,
above the level after loading the model, with the small network at 512.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

from reference import build_reference, random_reference, save_meta

from napari_cellprompt import SAM2VideoPredictor, load_model
from napari_cellprompt.core.inference.sam.tracking import TrackSettings

PARTS = ("exact", "pooled", "roi", "correct", "memory")


def write_frames(folder: Path, count: int, side: int) -> Path:
    """Discs that move a little over noise, as JPEG files that both sides read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    for index in range(count):
        frame = rng.normal(40, 8, (side, side))
        for row, column in centres(5, side):
            inside = (y - row - index) ** 2 + (x - column) ** 2 < (side / 20) ** 2
            frame[inside] += 110
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.jpg")
    return folder


def centres(count: int, side: int) -> list[tuple[float, float]]:
    places = [(0.25, 0.25), (0.7, 0.3), (0.5, 0.5), (0.25, 0.75), (0.75, 0.75)]
    return [(row * side, column * side) for row, column in places[:count]]


def boxes(count: int, side: int, shift: int = 0) -> list[np.ndarray]:
    r = side / 20
    return [
        np.array([x - r, y - r + shift, x + r, y + r + shift], np.float32)
        for y, x in centres(count, side)
    ]


def take_turns(*steps: Iterator[Any]) -> list[float]:
    """Seconds that each iterator needs in total; all are advanced one by one."""
    seconds = [0.0] * len(steps)
    waiting = set(range(len(steps)))
    while waiting:
        for number in sorted(waiting):
            started = time.perf_counter()
            if next(steps[number], None) is None:
                waiting.discard(number)
            seconds[number] += time.perf_counter() - started
    return seconds


def predictor_of(weights: Path, size: int, **options: Any) -> SAM2VideoPredictor:
    predictor = SAM2VideoPredictor(**options)
    model = load_model(weights, image_size=size, device="cpu")
    predictor.setup_model(model, verbose=False)
    return predictor


class Speed:
    """All that is timed, on one clip."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.objects, self.frames = options.objects, options.frames
        self.size, self.parts = options.size, options.parts
        self.weights = save_meta(
            random_reference("sam2.1_hiera_tiny", image_size=self.size), folder / "t.pt"
        )
        self.clip = write_frames(folder / "clip", self.frames, self.size)
        self.theirs = build_reference(
            "sam2.1_hiera_tiny", image_size=self.size, checkpoint=self.weights, video=True
        )
        self.theirs.fill_hole_area = 0  # on the CPU it does nothing but warn
        # as this plugin has it, so that a correction is kept by both
        self.theirs.add_all_frames_to_correct_as_cond = True
        self.state: Any = None
        self.ours = predictor_of(self.weights, self.size)
        self.rows: dict[str, dict[str, float]] = {}

    def reference(self, first: int = 0, last: int | None = None) -> Iterator[bool]:
        """Read the frames and prompt (at the start) and propagate with sam2."""
        if first == 0:
            self.state = self.theirs.init_state(str(self.clip))
            yield True
            for number, box in enumerate(boxes(self.objects, self.size), 1):
                self.theirs.add_new_points_or_box(self.state, 0, number, box=box)
                yield True
        count = None if last is None else last - first
        for _ in self.theirs.propagate_in_video(
            self.state, start_frame_idx=first, max_frame_num_to_track=count
        ):
            yield True

    def own(self, predictor: SAM2VideoPredictor) -> Iterator[bool]:
        predictor.setup_source(self.clip)
        for number, box in enumerate(boxes(self.objects, self.size), 1):
            predictor.add_new_prompts(number, bboxes=box)
            yield True
        for _ in predictor.propagate(direction="forward"):
            yield True

    def crops(self) -> Iterator[bool]:
        """Each object in a crop of half the side, seen at half the size: no sharing."""
        half = self.size // 2
        stack = [np.asarray(Image.open(self.clip / f"{i}.jpg")) for i in range(self.frames)]
        predictor = predictor_of(self.weights, half)
        for (row, column), box in zip(
            centres(self.objects, self.size), boxes(self.objects, self.size), strict=True
        ):
            y0 = int(np.clip(row - half / 2, 0, half))
            x0 = int(np.clip(column - half / 2, 0, half))
            predictor.setup_source([f[y0 : y0 + half, x0 : x0 + half] for f in stack])
            predictor.add_new_prompts(1, bboxes=box - np.float32([x0, y0, x0, y0]))
            for _ in predictor.propagate(direction="forward"):
                yield True

    def propagate(self) -> None:
        """Whole clips: exact, and the economies beside it."""
        sides: dict[str, Iterator[bool]] = {
            "sam2": self.reference(),
            "exact": self.own(self.ours),
        }
        if "pooled" in self.parts:
            pooled = TrackSettings(pool_older=True)
            sides["pooled"] = self.own(
                predictor_of(self.weights, self.size, settings=pooled)
            )
        if "roi" in self.parts:
            sides["roi"] = self.crops()
        seconds = dict(zip(sides, take_turns(*sides.values()), strict=True))
        for name in sides:
            if name != "sam2":
                self.note(f"{name}: {self.objects} x {self.frames}", seconds, name)

    def note(self, name: str, seconds: dict[str, float], side: str) -> None:
        mine, reference = seconds[side], seconds["sam2"]
        self.rows[name] = {"ours": mine, "sam2": reference, "ratio": mine / reference}

    def correct(self) -> None:
        """Correct objects in the middle and follow them for a few frames again.

        Both sides' prompts count. Meta's package follows all objects again, whichever was
        corrected.
        """
        middle = self.frames // 2
        last = min(middle + 4, self.frames - 1)
        changed = boxes(self.objects, self.size, shift=6)

        def theirs() -> Iterator[bool]:
            for number, box in enumerate(changed, 1):
                self.theirs.add_new_points_or_box(self.state, middle, number, box=box)
                yield True
            yield from self.reference(middle, last)

        def again(ids: list[int]) -> Iterator[bool]:
            for number in ids:
                box = changed[number - 1]
                self.ours.add_new_prompts(number, bboxes=box, frame_idx=middle)
                yield True
            for _ in self.ours.propagate(middle, last, direction="forward", obj_ids=ids):
                yield True

        everyone = list(range(1, self.objects + 1))
        times = take_turns(theirs(), again([1]), again(everyone))
        seconds = dict(zip(("sam2", "one", "all"), times, strict=True))
        self.note(f"correction of 1 of {self.objects}", seconds, "one")
        self.note(f"correction of all {self.objects}", seconds, "all")


def resident() -> float:
    """Resident set of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(step: Callable[[], object]) -> float:
    """Most MB above the level now that the process holds while ``step`` runs."""
    level, peak, done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], resident() - level)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        step()
    finally:
        done.set()
        watcher.join()
    return peak[0]


def measure_memory(side: str, folder: Path, size: int, frames: int, cache_mb: int) -> float:
    """Growth of one side in this process, for two objects."""
    prompts = boxes(2, size)
    if side == "sam2":
        theirs = build_reference(
            "cellprompt-nano", image_size=size, checkpoint=folder / "nano.pt", video=True
        )
        theirs.fill_hole_area = 0

        def run() -> None:
            state = theirs.init_state(str(folder / "long"))
            for number, box in enumerate(prompts, 1):
                theirs.add_new_points_or_box(state, 0, number, box=box)
            count = sum(1 for _ in theirs.propagate_in_video(state))
            if count != frames:
                raise RuntimeError(f"sam2 gave {count} of {frames} frames")
    else:
        ours = predictor_of(folder / "nano.pt", size, feature_bytes=cache_mb * 1024**2)

        def run() -> None:
            ours.setup_source(folder / "long")
            for number, box in enumerate(prompts, 1):
                ours.add_new_prompts(number, bboxes=box)
            count = sum(1 for _ in ours.propagate(direction="forward"))
            if count != frames:
                raise RuntimeError(f"gave {count} of {frames} frames")

    return growth(run)


def memory(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Each side in a process of its own; ours with little and with the usual cache."""
    size, frames = (512, 300) if not options.quick else (128, 40)
    save_meta(random_reference("cellprompt-nano", image_size=size), folder / "nano.pt")
    write_frames(folder / "long", frames, size)
    rows = {}
    found: dict[str, float] = {}
    for side, cache in (("sam2", 0), ("ours", 64), ("ours", 512)):
        arguments = ["--measure", side, str(folder), str(size), str(frames), str(cache)]
        done = subprocess.run(
            [sys.executable, __file__, "--threads", str(options.threads), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        found[f"{side} {cache}"] = float(done.stdout.splitlines()[-1])
    for cache in (64, 512):
        mine, reference = found[f"ours {cache}"], found["sam2 0"]
        rows[f"growth in MB, {frames} frames at {size}, cache {cache} MB"] = {
            "ours": mine,
            "sam2": reference,
            "ratio": mine / reference,
        }
    return rows


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--objects", type=int, default=5, help="at most 5")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        side, folder, size, frames, cache = options.measure
        print(measure_memory(side, Path(folder), int(size), int(frames), int(cache)))
        return
    if options.quick:
        options.size, options.frames, options.objects = 256, 6, 2
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(options.parts) - {"memory"}:
            speed = Speed(folder, options)
            speed.propagate()
            if "correct" in options.parts:
                speed.correct()
            rows.update(speed.rows)
        if "memory" in options.parts:
            rows.update(memory(folder, options))
    print(f"{torch.get_num_threads()} threads, SAM 2.1 tiny at {options.size}\n")
    for name, row in rows.items():
        print(
            f"{name:48} {row['ours']:8.2f}   sam2 {row['sam2']:8.2f}   "
            f"ratio {row['ratio']:.2f}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    stored = {"threads": options.threads, "size": options.size, "rows": rows}
    (options.out / "video_speed.json").write_text(json.dumps(stored, indent=1))


if __name__ == "__main__":
    main()
