"""Channels of a file that a model is shown together, on every floor below the window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.cli.flags import add_compose_flag
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import percentile_limits
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.session_types import ImageEntry, PlaneEntry
from napari_cellprompt.session.saved.images import plane_of
from napari_cellprompt.tasks.batch.job import read_job
from napari_cellprompt.tasks.inputs.composing import composed, mixed_channels
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import SegmentRequest, ShownChannel

RED = ShownChannel(colour="red", channel=0)
GREEN = ShownChannel(colour="green", channel=2, low=1.0, high=99.0, invert=True, smooth=1.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stack of 4 planes, 3 channels, 33 x 40; one object in each channel."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (4, 3, 33, 40)).astype(np.uint16)
    image[:, 0, 5:13, 10:18] = 900
    image[:, 1, 20:28, 30:38] = 800
    image[:, 2, 20:28, 4:12] = 3000
    tifffile.imwrite(tmp_path / "image.tif", image, metadata={"axes": "ZCYX"}, imagej=True)
    return tmp_path


def asked(folder: Path, *channels: ShownChannel, **fields: Any) -> SegmentRequest:
    return SegmentRequest(
        image=folder / "image.tif", output=folder / "o.tif", compose=channels, **fields
    )


def test_the_picture_is_that_of_a_session(folder: Path) -> None:
    """The same pixels as in the window, whose compositions a session replays."""
    file = read_image(folder / "image.tif")
    said: list[str] = []
    picture = composed(asked(folder, RED, GREEN), file, Report(say=said.append))
    assert (picture.axes, picture.data.shape) == ("ZCYXS", (4, 1, 33, 40, 3))
    assert picture.grid == file.grid
    assert "channel 0 as red" in said[0] and "channel 2 as green" in said[0]
    channels = mixed_channels((RED, GREEN), file, "image.tif")
    assert channels[1].limits == percentile_limits(
        file.data, 1.0, 99.0, channel_axis=1, channel=2
    )

    class Session:
        image = ImageEntry(
            name="", path=None, shape=file.data.shape, dtype="uint16", fingerprint="x",
            rgb=False, axes=(), scale=(), units=(),
        )  # fmt: skip

    entry = PlaneEntry(
        index=(2,), axes=(2, 3), limits=None, channel_axis=1, channels=channels
    )
    there = plane_of(Session, file.data, entry)  # type: ignore[arg-type]
    here = PlaneSource.from_image(picture.data, axes=picture.axes, at={"Z": 2}, channel=0)
    np.testing.assert_array_equal(here.read(3, 30, 2, 39), there.read(3, 30, 2, 39))
    assert here.read(0, 33, 0, 40)[8, 14, 0] == 255


def test_grey_channels_make_a_grey_picture(folder: Path) -> None:
    grey = [ShownChannel(colour="grey", channel=number) for number in (0, 1)]
    picture = composed(asked(folder, *grey), read_image(folder / "image.tif"), Report())
    assert picture.axes == "ZCYX"
    plane = PlaneSource.from_image(picture.data, axes=picture.axes, channel=0)
    pixels = plane.read(0, 33, 0, 40)
    assert pixels[8, 14].min() == pixels[24, 34].min() == 255
    assert pixels[24, 8].max() < 40


def test_samples_of_a_colour_picture(tmp_path: Path) -> None:
    image = np.zeros((20, 24, 3), np.uint8)
    image[4:9, 4:9, 2] = 200
    Image.fromarray(image).save(tmp_path / "image.png")
    request = asked(tmp_path, ShownChannel(colour="grey", channel=2))
    picture = composed(request, read_image(tmp_path / "image.png"), Report())
    assert picture.axes == "YX"
    assert len(picture.scale) == 2
    plane = PlaneSource.from_image(picture.data, axes="YX")
    assert plane.read(0, 20, 0, 24)[6, 6].min() == 255


def test_other_compositions_have_other_names(folder: Path) -> None:
    file = read_image(folder / "image.tif")
    names = {
        fingerprint(composed(asked(folder, *channels), file, Report()).data)
        for channels in ((RED,), (GREEN,), (RED, GREEN), (GREEN, RED))
    }
    assert len(names) == 4
    again = composed(asked(folder, RED), read_image(folder / "image.tif"), Report())
    assert fingerprint(again.data) in names


@pytest.mark.parametrize(
    ("channel", "fields", "message"),
    [
        (ShownChannel(colour="red", channel=3), {}, "channels 0 to 2: got 3 for red"),
        (RED, {"channel": 1}, "either which channel"),
        (ShownChannel(colour="red", channel=0, low=9, high=2), {}, "0 <= low < high"),
        (ShownChannel(colour="red", channel=0, smooth=-1), {}, "smoothed by 0 to 100"),
    ],
)
def test_what_does_not_fit_is_told(
    folder: Path, channel: ShownChannel, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        composed(
            asked(folder, channel, **fields), read_image(folder / "image.tif"), Report()
        )


def test_an_image_without_channels_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((20, 30), np.uint16))
    with pytest.raises(ImageError, match="no channels that could be shown together"):
        composed(asked(tmp_path, RED), read_image(tmp_path / "image.tif"), Report())


# --- the command line and jobs -----------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What the model was shown; it takes what is bright in any colour."""
    from tests.cli.conftest import ThresholdSegmenter

    from napari_cellprompt.tasks.inputs import loading

    planes: list[np.ndarray] = []

    class Watching(ThresholdSegmenter):
        def predict_many(self, plane: Any, prompts: Any, **options: Any) -> Any:
            planes.append(plane.read(0, plane.shape[0], 0, plane.shape[1]))
            return super().predict_many(plane, prompts, **options)

    fake = Watching()
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: fake)
    return planes


def typed(folder: Path, *more: str) -> list[str]:
    objects = [{"id": 1, "plane": 1, "points": [[14, 9]]}]
    (folder / "p.json").write_text(json.dumps({"version": 1, "objects": objects}))
    return [
        "segment", str(folder / "image.tif"), "--prompts", str(folder / "p.json"),
        "-o", str(folder / "out.tif"), *more,
    ]  # fmt: skip


def test_typed_channels_reach_the_model(
    folder: Path, seen: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed(folder, "--compose", "red=0", "green=2:1-99")) == 0
    assert seen[0].shape == (33, 40, 3)
    assert seen[0][8, 14].tolist()[0] == 255 and seen[0][24, 8].tolist()[1] == 255
    assert not seen[0][..., 2].any()
    assert "the model sees channel 0 as red" in capsys.readouterr().err
    assert read_labels(folder / "out.tif").labels.shape == (4, 33, 40)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--compose", "pink=0"], "must begin with red, green, blue or grey"),
        (["--compose", "red=x"], "must begin with red, green, blue or grey"),
        (["--compose", "red=0:soft"], "neither two percentiles"),
        (["--compose", "red=0", "--channel", "1"], "either which channel"),
        (["--compose", "red=0", "--contrast", "1", "9"], "leave the contrast out"),
        (["--compose", "red=7"], "channels 0 to 2: got 7"),
    ],
)
def test_what_is_typed_wrong_is_told(
    folder: Path,
    seen: list[np.ndarray],
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    try:
        assert main(typed(folder, *more)) != 0
    except SystemExit as stopped:
        assert stopped.code != 0
    assert message in capsys.readouterr().err
    assert not seen


def test_all_that_can_be_typed_of_a_channel() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_compose_flag(parser)
    text = "grey=1:0.5-99.5:invert:smooth=1.5"
    [channel] = parser.parse_args(["--compose", text]).compose
    assert channel == ShownChannel(
        colour="grey", channel=1, low=0.5, high=99.5, invert=True, smooth=1.5
    )


def test_a_job_names_channels(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "task: everything\n"
        "compose:\n"
        "  - colour: red\n"
        "    channel: 0\n"
        "  - {colour: green, channel: 2, low: 1, high: 99, invert: true, smooth: 1.5}\n"
    )
    assert read_job(job).template.compose == (RED, GREEN)
    json.dumps(read_job(job).written())
    job.write_text("task: everything\ncompose:\n  - {colour: pink, channel: 0}\n")
    with pytest.raises(ImageError, match=r"line 3.*one of red, green, blue, grey"):
        read_job(job)
    job.write_text("task: fewshot\nbank: b.npz\ncompose: []\n")
    with pytest.raises(ImageError, match="there is no setting 'compose'"):
        read_job(job)
