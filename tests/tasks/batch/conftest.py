from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile

pytest.importorskip("distributed", reason="the extra batch is not installed")

from distributed import LocalCluster

from napari_cellprompt.tasks.batch.request import BatchRequest
from napari_cellprompt.tasks.batch.verbs import VERBS, Verb

CHORE = Verb(
    request="tests.tasks.batch.chores:ChoreRequest", run="tests.tasks.batch.chores:run"
)


@pytest.fixture(scope="session", autouse=True)
def _path_of_workers() -> Iterator[None]:
    """Workers find the tests."""
    with pytest.MonkeyPatch.context() as patch:
        root, before = str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([root, before]))
        yield


@pytest.fixture(scope="session")
def scheduler(_path_of_workers: None) -> Iterator[str]:
    """Address of two workers that all tests share; those that die are begun anew."""
    # what kills its workers is given up soon, for a test must not wait for four of them
    few = dask.config.set({"distributed.scheduler.allowed-failures": 1})
    with (
        few,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            processes=True,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def _chore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "chore", CHORE)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of six images."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(0, 255, (20, 30), np.uint8)
        tifffile.imwrite(folder / f"img_{number}.tif", pixels, photometric="minisblack")
    return folder


@pytest.fixture
def asked(tmp_path: Path, images: Path, scheduler: str) -> Callable[..., BatchRequest]:
    """Make a request for the folder of images, with the lines of a job."""

    def make(*lines: str, output: str = "out", **values: object) -> BatchRequest:
        job = tmp_path / "job.yaml"
        job.write_text("\n".join(["task: chore", *lines]))
        options = {"source": images, "job": job, "scheduler": scheduler, **values}
        return BatchRequest(output=tmp_path / output, **options)

    return make


def labels_in(folder: Path) -> dict[str, bytes]:
    """Pixels of each label file by name."""
    return {
        path.name: tifffile.imread(path).tobytes() for path in folder.glob("*_labels.tif")
    }
