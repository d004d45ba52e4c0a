from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter
from tests.two_kinds import disks_and_bars

import napari_cellprompt
from napari_cellprompt.core.errors import CheckpointError, ImageError, PromptError
from napari_cellprompt.core.fewshot.examples import ExampleBank
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.tasks.examples.applying import (
    OTHER,
    apply_to_plane,
    apply_to_stack,
    choose,
    label_chosen,
)
from napari_cellprompt.tasks.examples.teaching import empty_bank, teach, teach_stack
from napari_cellprompt.tasks.fewshot import run
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import FewshotRequest


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


@pytest.fixture
def taught(segmenter) -> ExampleBank:
    image, disks, _ = disks_and_bars(0)
    bank = empty_bank(segmenter)
    plane = PlaneSource.from_image(image)
    assert teach(segmenter, plane, disks, bank, ids=[1, 3], source="a.tif") == 2
    return bank


def test_finds_the_kind_that_was_shown_and_no_other(segmenter, taught) -> None:
    image, disks, bars = disks_and_bars(1)
    scored = apply_to_plane(segmenter, PlaneSource.from_image(image), taught)
    assert len(scored) == 9
    labels = label_chosen(choose(scored), image.shape)
    assert average_precision(labels, disks)[0] == 1.0
    assert not (labels[bars > 0] > 0).any()


def test_what_is_not_wanted_can_be_shown(segmenter, taught) -> None:
    image, _, bars = disks_and_bars(0)
    teach(segmenter, PlaneSource.from_image(image), bars, taught, kind=OTHER, ids=[2])
    assert taught.kinds == ("wanted", OTHER)
    scored = apply_to_plane(segmenter, PlaneSource.from_image(image), taught)
    assert sorted(item.kind for item in scored) == [OTHER] * 4 + ["wanted"] * 5
    assert len(choose(scored)) == 5
    assert len(choose(scored, kinds={OTHER})) == 4
    assert choose(scored, threshold=1.0) == []


def test_the_kinds_compete(taught) -> None:
    values = np.stack([e.values for e in taught.examples])
    scores = taught.scores(values)
    assert scores.shape == (2, 1)
    assert (scores > 0.97).all() and (scores < 1).all()
    assert (taught.scores(values + 100) < 0.05).all()


def test_a_bank_survives_a_file(segmenter, taught, tmp_path: Path) -> None:
    path = taught.save(tmp_path / "bank.safetensors")
    again = ExampleBank.load(path, taught.model)
    values = np.stack([e.values for e in taught.examples]) + 0.05
    np.testing.assert_allclose(again.scores(values), taught.scores(values))
    assert [e.source for e in again.examples] == ["a.tif", "a.tif"]
    np.testing.assert_array_equal(again.examples[0].thumbnail, taught.examples[0].thumbnail)
    assert again.examples[0].thumbnail.max() > 200
    with pytest.raises(CheckpointError, match="another model"):
        ExampleBank.load(path, "else")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="cannot be read"):
        ExampleBank.load(tmp_path / "cut", taught.model)


def test_an_example_can_be_removed(taught) -> None:
    taught.remove(0)
    assert len(taught.examples) == 1
    taught.remove(0)
    assert taught.size is None
    with pytest.raises(PromptError, match="no examples"):
        taught.scores(np.zeros((1, 3), np.float32))
    with pytest.raises(PromptError, match="no examples"):
        taught.save("nowhere")


def test_stacks_have_ids_of_their_own_on_every_plane(segmenter) -> None:
    pictures = [disks_and_bars(seed) for seed in range(2)]
    stack = np.stack([p[0] for p in pictures])
    labels = np.stack([pictures[0][1], np.zeros_like(pictures[1][1])])
    bank = empty_bank(segmenter)
    assert teach_stack(segmenter, stack, labels, bank, axes="TYX") == 5
    planes = list(apply_to_stack(segmenter, stack, bank, axes="TYX"))
    assert [position for position, _, _ in planes] == [(0,), (1,)]
    ids = [sorted(np.unique(plane)[1:].tolist()) for _, plane, _ in planes]
    assert ids == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_bad_examples(segmenter) -> None:
    image, disks, _ = disks_and_bars(0)
    bank, plane = empty_bank(segmenter), PlaneSource.from_image(image)
    with pytest.raises(ImageError, match="shape"):
        teach(segmenter, plane, disks[:-1], bank)
    with pytest.raises(PromptError, match=r"no objects \[99\]"):
        teach(segmenter, plane, disks, bank, ids=[1, 99])
    with pytest.raises(PromptError, match="no objects"):
        teach(segmenter, plane, np.zeros_like(disks), bank)
    with pytest.raises(ImageError, match="shape"):
        teach_stack(segmenter, image[None], disks, bank, axes="ZYX")
    with pytest.raises(PromptError, match="no examples"):
        apply_to_plane(segmenter, plane, bank)
    assert bank.examples == []


def test_cancel(segmenter, taught) -> None:
    image, _, _ = disks_and_bars(1)
    with pytest.raises(CancelledError):
        apply_to_plane(
            segmenter, PlaneSource.from_image(image), taught, cancelled=lambda: True
        )


def test_nothing_on_the_plane(segmenter, taught) -> None:
    plane = PlaneSource.from_image(np.zeros((64, 64), np.uint8))
    assert apply_to_plane(segmenter, plane, taught) == []


def test_from_a_script(segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "napari_cellprompt.tasks.inputs.loading.load_segmenter", lambda *_, **__: segmenter
    )
    image, disks, bars = disks_and_bars(0)
    first, truth, _ = disks_and_bars(1)
    path = tmp_path / "b.tif"
    tifffile.imwrite(path, np.stack((first, first)), metadata={"axes": "ZYX"})
    shown = [(image, np.where(disks < 4, disks, 0))]
    plane, stack = napari_cellprompt.fewshot(shown, [first, path], others=[(image, bars)])
    assert plane.dtype == np.uint8
    assert average_precision(plane, truth)[0] == 1.0
    assert stack.shape == (2, *first.shape)
    np.testing.assert_array_equal(stack[0], plane)
    assert set(np.unique(stack[1])) == {0, *range(6, 11)}
    with pytest.raises(PromptError, match="no objects"):
        next(napari_cellprompt.fewshot([(image, 0 * disks)], [first]))


def test_a_request_goes_on_where_it_was_stopped(
    segmenter, monkeypatch, tmp_path: Path
) -> None:
    image, wanted, _ = disks_and_bars(0)
    (tmp_path / "in").mkdir()
    for path, pixels in (
        (tmp_path / "shown.tif", image),
        (tmp_path / "truth.tif", wanted.astype(np.uint8)),
        *((tmp_path / "in" / f"{i}.tif", disks_and_bars(i)[0]) for i in (1, 2)),
    ):
        tifffile.imwrite(path, pixels, photometric="minisblack")
    monkeypatch.setattr(
        "napari_cellprompt.tasks.inputs.loading.load_segmenter", lambda *_, **__: segmenter
    )
    request = FewshotRequest(
        folder=tmp_path / "in",
        output=tmp_path / "out",
        examples=((tmp_path / "shown.tif", tmp_path / "truth.tif"),),
    )
    told: list[tuple[int, int]] = []
    report = Report(
        progress=lambda *steps: told.append(steps), cancelled=lambda: len(told) == 1
    )
    with pytest.raises(CancelledError):
        run(request, report)
    assert told == [(1, 2)]
    said: list[str] = []
    assert run(request, Report(say=said.append)) == 0
    assert "1 of 2 images have their labels already" in said
    assert {path.name for path in (tmp_path / "out").glob("*.tif")} == {
        "1_labels.tif",
        "2_labels.tif",
    }
