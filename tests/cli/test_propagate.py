from __future__ import annotations

import csv
import json
import os
import signal

import numpy as np
import pytest
import tifffile
from tests.followers import discs, follow_bright
from tests.random_models import random_model

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
from napari_cellprompt.core.inference.sam.encoding.feature_files import FeatureFiles
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate import propagator as propagation
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.zoo.folder import features_folder
from napari_cellprompt.io.label_tiff import read_labels, write_labels
from napari_cellprompt.tasks.inputs import loading


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    follow_bright(monkeypatch)
    model = random_model()

    def load(name: str, device: str, *, disk_bytes: int = 0) -> PlaneSegmenter:
        files = FeatureFiles(features_folder(), disk_bytes) if disk_bytes else None
        return PlaneSegmenter(model, files=files)

    monkeypatch.setattr(loading, "load_segmenter", load)


@pytest.fixture
def stack() -> np.ndarray:
    left = dict.fromkeys(range(2, 9), (30.0, 50.0, 9.0))
    right = dict.fromkeys(range(12), (65.0, 40.0, 7.0))
    return discs([left, right])


def seeds_of(stack: np.ndarray, plane: int) -> np.ndarray:
    labels = (stack[plane] > 128).astype(np.uint16) * 7
    labels[:, 48:] = (stack[plane][:, 48:] > 128) * 300
    return labels


def save(path, stack, axes="ZYX") -> str:
    tifffile.imwrite(
        path,
        stack,
        imagej=True,
        resolution=(4.0, 4.0),
        metadata={"axes": axes, "spacing": 1.5, "unit": "um"},
    )
    return str(path)


def prompts_file(path, *objects) -> str:
    path.write_text(json.dumps({"version": 1, "objects": list(objects)}))
    return str(path)


def painted(mask: np.ndarray, number: int, **where) -> dict:
    rle = encode(mask)
    return {"id": number, "mask": {"size": list(rle.size), "counts": rle.counts}, **where}


def test_seeds_keep_their_ids_and_the_file_its_calibration(tmp_path, stack) -> None:
    image = save(tmp_path / "a.tif", stack)
    write_labels(tmp_path / "seeds.tif", seeds_of(stack, 5), axes="YX")
    code = main(
        [
            *("propagate", image, "--seeds", str(tmp_path / "seeds.tif")),
            *("--plane", "5", "-o", str(tmp_path / "out.tif")),
        ]
    )
    assert code == 0
    found = read_labels(tmp_path / "out.tif")
    assert found.axes == "ZYX"
    assert found.scale == pytest.approx((1.5, 0.25, 0.25))
    assert found.unit == "um"
    assert np.unique(found.labels).tolist() == [0, 7, 300]
    left = [bool((plane == 7).any()) for plane in found.labels]
    assert left == [2 <= plane < 9 for plane in range(12)]


def test_features_on_the_disk_serve_the_next_run(tmp_path, stack, monkeypatch) -> None:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    image = save(tmp_path / "a.tif", stack)
    write_labels(tmp_path / "seeds.tif", seeds_of(stack, 5), axes="YX")
    encode, encoded = PlaneEncoder._encode, []

    def counting(self, pixels):
        encoded.append(pixels)
        return encode(self, pixels)

    monkeypatch.setattr(PlaneEncoder, "_encode", counting)
    counts = []
    for name in ("first", "second"):
        encoded.clear()
        code = main(
            [
                *("propagate", image, "--seeds", str(tmp_path / "seeds.tif")),
                *("--plane", "5", "-o", str(tmp_path / f"{name}.tif")),
                *("--disk-cache", "500"),
            ]
        )
        assert code == 0
        counts.append(len(encoded))
    assert counts[0] > 0
    assert counts[1] == 0
    first, second = (read_labels(tmp_path / f"{n}.tif").labels for n in ("first", "second"))
    np.testing.assert_array_equal(first, second)


def test_prompts_name_their_planes_and_the_range_is_kept(tmp_path, stack) -> None:
    image = save(tmp_path / "a.tif", stack)
    mask = (stack[5] > 128) & (np.arange(96) < 48)
    prompts = prompts_file(tmp_path / "p.json", painted(mask, 4, plane=5))
    code = main(
        [
            *("propagate", image, "--prompts", prompts, "--start", "4", "--stop", "6"),
            *("--axis", "z", "-o", str(tmp_path / "out.tif")),
        ]
    )
    assert code == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [4, 5, 6]


def test_each_position_of_the_other_axis_is_a_stack_of_its_own(tmp_path, stack) -> None:
    image = save(tmp_path / "a.tif", np.stack([stack, stack[::-1]]), axes="TZYX")
    left = np.arange(96) < 48
    prompts = prompts_file(
        tmp_path / "p.json",
        painted((stack[5] > 128) & left, 1, plane=5),
        painted((stack[5] > 128) & ~left, 2, plane=6, at={"T": 1}),
    )
    code = main(["propagate", image, "--prompts", prompts, "-o", str(tmp_path / "o.tif")])
    assert code == 0
    found = read_labels(tmp_path / "o.tif")
    assert found.labels.shape == (2, 12, 96, 96)
    assert np.unique(found.labels[0]).tolist() == [0, 1]
    assert np.unique(found.labels[1]).tolist() == [0, 2]
    assert found.labels[1].any((1, 2)).all()


def test_divisions_give_daughters_and_tracks(tmp_path) -> None:
    mother = dict.fromkeys(range(5), (44.0, 50.0, 14.0))
    left = dict.fromkeys(range(5, 12), (34.0, 50.0, 7.0))
    right = dict.fromkeys(range(5, 12), (54.0, 50.0, 7.0))
    movie = discs([mother, left, right])
    image = save(tmp_path / "a.tif", movie, axes="TYX")
    prompts = prompts_file(tmp_path / "p.json", painted(movie[1] > 128, 1, plane=1))
    code = main(
        [
            *("propagate", image, "--prompts", prompts, "--axis", "t", "--divisions"),
            *("-o", str(tmp_path / "out.tif")),
        ]
    )
    assert code == 0
    with (tmp_path / "out_tracks.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["label", "first", "last", "parent"],
        ["1", "0", "4", "0"],
        ["2", "5", "11", "1"],
        ["3", "5", "11", "1"],
    ]
    assert np.unique(read_labels(tmp_path / "out.tif").labels[8]).tolist() == [0, 2, 3]


def test_an_interrupt_writes_what_is_done(tmp_path, stack, monkeypatch, capsys) -> None:
    image = save(tmp_path / "a.tif", stack)
    prompts = prompts_file(tmp_path / "p.json", painted(stack[5] > 128, 1, plane=5))
    original = propagation.StackPropagator.propagate

    def interrupted(self, **options):
        for plane, news in original(self, **options):
            yield plane, news
            if plane == 7:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(propagation.StackPropagator, "propagate", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code = main(["propagate", image, "--prompts", prompts, "-o", str(tmp_path / "o.tif")])
    assert code == 130
    assert signal.getsignal(signal.SIGINT) is before
    labels = read_labels(tmp_path / "o.tif").labels
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [5, 6, 7]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(["--start", "9", "--stop", "3"], "--start must not", id="order"),
        pytest.param(["--stop", "12"], "--stop must lie in 0 to 11", id="range"),
        pytest.param(["--axis", "t"], "no axis T", id="axis"),
        pytest.param(["--divisions"], "need --axis t", id="divisions in depth"),
        pytest.param(["--stop-overlap", "2"], "stop_overlap must lie", id="setting"),
        pytest.param(["--memories", "0"], "max_memories", id="memories"),
    ],
)
def test_bad_requests_exit_with_2_and_one_sentence(
    tmp_path, stack, capsys, extra, message
) -> None:
    image = save(tmp_path / "a.tif", stack)
    prompts = prompts_file(tmp_path / "p.json", painted(stack[5] > 128, 1, plane=5))
    code = main(
        ["propagate", image, "--prompts", prompts, "-o", str(tmp_path / "o.tif"), *extra]
    )
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert (code, message in last) == (2, True), last
    assert not (tmp_path / "o.tif").exists()


@pytest.mark.parametrize(
    ("shape", "extra", "message"),
    [
        pytest.param((96, 96), [], "needs --plane", id="no plane"),
        pytest.param((96, 96), ["--plane", "30"], "0 to 11", id="no such plane"),
        pytest.param((50, 96), ["--plane", "3"], "96 x 96 pixels", id="other size"),
        pytest.param((3, 96, 96), ["--plane", "5"], "has 3 planes", id="short stack"),
    ],
)
def test_bad_seeds_are_told(tmp_path, stack, capsys, shape, extra, message) -> None:
    image = save(tmp_path / "a.tif", stack)
    axes = "YX" if len(shape) == 2 else "ZYX"
    write_labels(tmp_path / "s.tif", np.ones(shape, np.uint8), axes=axes)
    code = main(
        [
            *("propagate", image, "--seeds", str(tmp_path / "s.tif"), *extra),
            *("-o", str(tmp_path / "o.tif")),
        ]
    )
    err = capsys.readouterr().err
    assert code == 2
    assert message in err


def test_objects_are_followed_through_composed_channels(tmp_path, stack, capsys) -> None:
    """Each of the two discs is in a channel of its own."""
    split = np.stack([stack, stack], axis=1)
    split[:, 0, :, 48:] = split[:, 0].min()
    split[:, 1, :, :48] = split[:, 1].min()
    image = save(tmp_path / "a.tif", split, "ZCYX")
    write_labels(tmp_path / "seeds.tif", seeds_of(stack, 5), axes="YX")
    line = ["propagate", image, "--seeds", str(tmp_path / "seeds.tif"), "--plane", "5"]
    line += ["-o", str(tmp_path / "out.tif"), "--compose", "grey=0", "grey=1"]
    assert main(line) == 0
    assert "channel 0 as grey" in capsys.readouterr().err
    found = read_labels(tmp_path / "out.tif").labels
    assert found.shape == stack.shape
    assert set(np.unique(found)) == {0, 7, 300}
    assert (found[10] == 300).any() and not (found[10] == 7).any()
