"""Objects filled in between planes, of arrays and of files."""

import numpy as np
import pytest
from tests.core.fill.test_labels import stack

from napari_cellprompt import fill
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.io.label_tiff import read_labels, write_labels
from napari_cellprompt.tasks.fill import run
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import FillRequest


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.tif"
    write_labels(path, stack(), axes="ZYX", scale=(2.0, 0.5, 0.5), unit="um")
    return path


def planes_of(labels, number) -> list[int]:
    return np.flatnonzero((labels == number).any((1, 2))).tolist()


def test_an_array_comes_back_filled_and_is_not_changed():
    labels = stack()
    after = fill(labels)
    assert after.dtype == labels.dtype
    assert planes_of(after, 3) == list(range(6))
    assert planes_of(labels, 3) == [0, 5]


def test_the_other_axis_keeps_its_positions():
    labels = np.stack([stack(), np.zeros_like(stack())])
    after = fill(labels)
    np.testing.assert_array_equal(after[0], fill(stack()))
    assert not after[1].any()
    np.testing.assert_array_equal(fill(labels, "t"), labels)


def test_a_file_keeps_its_calibration(seeds, tmp_path, capsys):
    output = tmp_path / "filled.tif"
    assert main(["fill", str(seeds), "-o", str(output), "--ids", "3"]) == 0
    after, before = read_labels(output), read_labels(seeds)
    assert planes_of(after.labels, 3) == list(range(6))
    assert planes_of(after.labels, 7) == [2, 4, 10]
    assert (after.scale, after.unit, after.axes) == (before.scale, before.unit, "ZYX")
    assert "4 planes of 1 object" in capsys.readouterr().err


def test_files_and_arrays_give_the_same(seeds, tmp_path):
    output = tmp_path / "filled.tif"
    assert run(FillRequest(labels=seeds, output=output))
    np.testing.assert_array_equal(read_labels(output).labels, fill(stack()))
    np.testing.assert_array_equal(fill(str(seeds)), fill(stack()))


def test_a_run_that_is_stopped_writes_nothing(seeds, tmp_path):
    output = tmp_path / "filled.tif"
    stopping = Report(cancelled=lambda: True)
    assert not run(FillRequest(labels=seeds, output=output), stopping)
    assert not output.exists()


def test_the_image_is_looked_at(model, monkeypatch):
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: PlaneSegmenter(model))
    image = np.where(stack() > 0, 200, 20).astype(np.uint8)
    after = fill(stack(), image=image, image_axes="ZYX")
    assert planes_of(after, 3) == list(range(6))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"ids": [4]}, PromptError, "no object 4", id="id"),
        pytest.param({"axis": "t"}, ImageError, "no axis T", id="axis"),
        pytest.param({"largest_gap": 0}, PromptError, "1 or more", id="gap"),
        pytest.param(
            {"image": np.zeros((11, 9, 9), np.uint8)}, ImageError, "grid", id="image"
        ),
    ],
)
def test_what_cannot_be_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        fill(stack(), **options)


def test_a_plane_has_nothing_to_fill_along(tmp_path, capsys):
    path = tmp_path / "plane.tif"
    write_labels(path, stack()[0], axes="YX")
    assert main(["fill", str(path), "-o", str(tmp_path / "o.tif")]) == 2
    assert "no axis Z or T" in capsys.readouterr().err
