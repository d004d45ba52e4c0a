"""The simulator writes the sample data again, pixel for pixel."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "src" / "napari_cellprompt" / "sample_data"


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    # training/ is a folder of scripts, not a package.
    spec = importlib.util.spec_from_file_location(
        "simulate", ROOT / "training" / "simulate.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["simulate"]


def test_the_plane_of_the_samples_comes_out_again(simulate: ModuleType) -> None:
    image, truth = simulate.nuclei_2d()
    np.testing.assert_array_equal(image, tifffile.imread(SAMPLES / "nuclei_2d.tif"))
    np.testing.assert_array_equal(truth, tifffile.imread(SAMPLES / "nuclei_2d_truth.tif"))


def test_another_seed_is_another_image(simulate: ModuleType) -> None:
    first, _ = simulate.nuclei_2d(seed=10, size=96, count=4)
    again, _ = simulate.nuclei_2d(seed=10, size=96, count=4)
    other, _ = simulate.nuclei_2d(seed=11, size=96, count=4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_grey_values_fit_twelve_bits(simulate: ModuleType) -> None:
    image, truth = simulate.nuclei_3d(seed=1, shape=(6, 64, 64), count=5)
    assert image.dtype == truth.dtype == np.uint16
    assert image.max() <= simulate.GREY_MAX
    assert np.median(image[truth == 0]) > simulate.OFFSET


def test_tracks_describe_the_truth(simulate: ModuleType) -> None:
    _, truth, tracks = simulate.divisions()
    np.testing.assert_array_equal(truth, tifffile.imread(SAMPLES / "divisions_truth.tif"))
    with (SAMPLES / "divisions_tracks.csv").open(newline="") as file:
        rows = [tuple(map(int, row)) for row in list(csv.reader(file))[1:]]
    assert rows == [(t.label, t.first, t.last, t.parent) for t in tracks]
    by_label = {track.label: track for track in tracks}
    for track in tracks:
        frames = np.flatnonzero((truth == track.label).any(axis=(1, 2)))
        assert frames.tolist() == list(range(track.first, track.last + 1))
        if track.parent:
            assert by_label[track.parent].last == track.first - 1
    parents = [track.parent for track in tracks if track.parent]
    assert sorted(parents) == sorted(2 * list(set(parents)))
    assert len(set(parents)) == 4
