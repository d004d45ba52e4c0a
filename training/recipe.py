"""Runs the whole recipe with one command: image part, memory, export.

``CELLPROMPT_DATA=... python training/recipe.py --out training/runs --device cuda``. Each
part is trained once per seed, the next one starts from the mean of them, and the mean of
the last ones is exported. A recipe that was stopped goes on where it was with the same
command, since each run does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["commands", "main", "run_together"]

HERE = Path(__file__).parent


def commands(
    out: Path,
    *,
    device: str,
    image_minutes: float,
    memory_minutes: float,
    seeds: int,
    to: Path | None,
) -> list[list[list[str]]]:
    """What to run: groups of commands; those of one group do not wait for one another.

    Parameters
    ----------
    out
        Folder for the folders of the runs.
    device
        "cpu" or "cuda".
    image_minutes, memory_minutes
        Of each run.
    seeds
        Runs of each part.
    to
        The file to export; None for the one that the package ships.
    """
    images = [out / f"image_{seed}" for seed in range(seeds)]
    memories = [out / f"memory_{seed}" for seed in range(seeds)]
    trained = [str(run / "checkpoint.pt") for run in images]

    def script(name: str, *words: object) -> list[str]:
        return [sys.executable, str(HERE / name), *map(str, words)]

    def run(folder: Path, seed: int, minutes: float) -> tuple[object, ...]:
        where = ("--out", folder, "--seed", seed)
        return (*where, "--minutes", minutes, "--device", device)

    target = [] if to is None else ["--to", to]
    return [
        [script("train.py", *run(f, n, image_minutes)) for n, f in enumerate(images)],
        [
            script("memory.py", *run(f, n, memory_minutes), "--start-from", *trained)
            for n, f in enumerate(memories)
        ],
        [script("export.py", *memories, "--carry", "--after", *images, *target)],
    ]


def run_together(group: Sequence[Sequence[str]], at_once: int) -> None:
    """Run commands, so many at once, and wait for all of them.

    Raises
    ------
    SystemExit
        With the exit code of the first that failed; the others went on to their end.
    """
    with ThreadPoolExecutor(at_once) as pool:
        codes = list(pool.map(subprocess.call, group))
    if any(codes):
        raise SystemExit(next(code for code in codes if code))


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--image-minutes", type=float, default=130.0, help="of each run of the image part"
    )
    parser.add_argument(
        "--memory-minutes", type=float, default=50.0, help="of each run of the memory"
    )
    parser.add_argument("--seeds", type=int, default=2, help="runs of each part")
    parser.add_argument(
        "--at-once", type=int, default=1, help="runs beside one another; a core for each"
    )
    parser.add_argument(
        "--to", type=Path, help="file to export; default: the one that the package ships"
    )
    options = parser.parse_args()
    if options.seeds < 1 or options.at_once < 1:
        parser.error("--seeds and --at-once must be 1 or more.")
    for group in commands(
        options.out,
        device=options.device,
        image_minutes=options.image_minutes,
        memory_minutes=options.memory_minutes,
        seeds=options.seeds,
        to=options.to,
    ):
        run_together(group, options.at_once)


if __name__ == "__main__":
    main()
