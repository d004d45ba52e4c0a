"""Export and import as tasks and commands."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellprompt.cli import export as cli_export
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import CellpromptError, ImageError, SaveError
from napari_cellprompt.io.exports import formats
from napari_cellprompt.io.exports.subject import ExportSubject
from napari_cellprompt.io.imports import cellpose
from napari_cellprompt.io.imports.formats import IMPORTS
from napari_cellprompt.io.label_tiff import read_labels, write_labels
from napari_cellprompt.tasks.exporting import run_export, run_import
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import ExportRequest, ImportRequest


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    labels = np.zeros((3, 20, 24), np.uint16)
    labels[:2, 2:8, 3:9] = 5
    labels[2, 2:5, 3:9] = 6
    labels[2, 5:8, 3:9] = 7
    path = tmp_path / "movie.tif"
    return write_labels(path, labels, axes="TYX", scale=(60, 0.5, 0.5), unit="um")


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.csv"
    path.write_text("label,first,last,parent\n5,0,1,0\n6,2,2,5\n7,2,2,5\n")
    return path


def test_names_of_the_command_line_are_those_of_the_formats() -> None:
    assert cli_export.EXPORTS == tuple(known.key for known in formats.FORMATS)
    assert cli_export.IMPORTS == IMPORTS


def test_there_and_back_by_command(
    movie: Path, tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, again = tmp_path / "01_RES", tmp_path / "again.tif"
    arguments = ["export", str(movie), "--to", "ctc", "-o", str(folder)]
    assert main([*arguments, "--objects", str(tracks)]) == 0
    assert "no voxel size" in capsys.readouterr().err
    assert (folder / "res_track.txt").read_text() == "5 0 1 0\n6 2 2 5\n7 2 2 5\n"
    assert main(["import", str(folder), "-o", str(again), "--like", str(movie)]) == 0
    before, after = read_labels(movie), read_labels(again)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert (after.axes, after.unit, after.scale) == ("TYX", "um", before.scale)
    with (tmp_path / "again_objects.csv").open(newline="") as file:
        assert {row["label"]: row["parent"] for row in csv.DictReader(file)} == {
            "5": "",
            "6": "5",
            "7": "5",
        }


@pytest.mark.parametrize("key", cli_export.EXPORTS)
def test_all_or_nothing(
    key: str, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure in the middle leaves no trace."""
    ends = {"tiff": ".tif", "ome-zarr": ".zarr", "geff": ".geff", "coco": ".json"}
    ends |= {"roi": ".zip", "csv": ".csv"}
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, np.ones((3, 20, 24), np.uint16), imagej=True,
                     metadata={"axes": "TYX"})  # fmt: skip
    request = ExportRequest(
        labels=movie, to=key, output=tmp_path / f"out{ends.get(key, '')}", image=image
    )
    before = sorted(tmp_path.iterdir())
    plane, calls = ExportSubject.plane, []

    def failing(self: object, at: dict[str, int]) -> np.ndarray:
        calls.append(at)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        return plane(self, at)

    # tiff reads the array itself
    if key == "tiff":
        monkeypatch.setattr(tifffile.TiffWriter, "write", lambda *_, **__: failing(0, {}))
        calls += [{}] * 4
    else:
        monkeypatch.setattr(ExportSubject, "plane", failing)
    with pytest.raises(OSError, match=r"disk is full|No space"):
        run_export(request)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("key", ["coco", "geff", "planes"])
def test_no_input_is_written_over(key: str, movie: Path, tmp_path: Path) -> None:
    content = movie.read_bytes()
    for output in (movie, tmp_path):
        with pytest.raises(CellpromptError, match=r"movie\.tif"):
            run_export(ExportRequest(labels=movie, to=key, output=output))
    assert movie.read_bytes() == content
    run_export(ExportRequest(labels=movie, to="planes", output=tmp_path / "planes"))
    with pytest.raises(ImageError, match="would change"):
        run_export(
            ExportRequest(
                labels=tmp_path / "planes", to=key, output=tmp_path / "planes" / "x"
            )
        )


def test_a_folder_with_something_in_it_stays(movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("all of it")
    with pytest.raises(SaveError, match="not an empty folder"):
        run_export(ExportRequest(labels=movie, to="ctc", output=folder))
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("key", "name", "said"),
    [
        ("ctc", "x", "no axis T"),
        ("geff", "x.geff", "no axis T"),
        ("train-stardist", "x", "--image"),
        ("coco", "x.txt", r"ends in \.json"),
        ("cellpose", "x.npy", "_seg.npy"),
    ],
)
def test_what_cannot_be_is_said(key: str, name: str, said: str, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "z.tif", np.eye(8, dtype=np.uint8)[None], axes="ZYX")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError, match=said):
        run_export(ExportRequest(labels=labels, to=key, output=tmp_path / name))
    assert sorted(tmp_path.iterdir()) == before


def test_ctc_refuses_ids_beyond_16_bits(tmp_path: Path) -> None:
    labels = np.full((2, 8, 9), 70_000, np.uint32)
    path = write_labels(tmp_path / "t.tif", labels, axes="TYX")
    said: list[str] = []
    with pytest.raises(ImageError, match="65535"):
        run_export(
            ExportRequest(labels=path, to="ctc", output=tmp_path / "r"),
            Report(say=said.append),
        )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("key", ["ome-zarr", "geff", "roi"])
def test_a_missing_package_is_named(
    key: str, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _: None)
    suffix = formats.format_named(key).suffixes[0]
    with pytest.raises(ImageError, match=r"napari-cellprompt\[export\]"):
        run_export(ExportRequest(labels=movie, to=key, output=tmp_path / f"x{suffix}"))


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/never"),))


@pytest.mark.parametrize("content", ["pickle", "text", "cut", "no-masks"])
def test_a_seg_file_runs_nothing(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x_seg.npy"
    if content == "text":
        path.write_text("no array")
    elif content == "no-masks":
        np.save(path, np.array({"flows": []}, dtype=object), allow_pickle=True)
    else:
        masks = {"masks": np.ones((4, 4), np.uint16)}
        evil = masks | ({"evil": _Evil()} if content == "pickle" else {})
        np.save(path, np.array(evil, dtype=object), allow_pickle=True)
        if content == "cut":
            path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"x_seg\.npy"):
        run_import(ImportRequest(source=path, output=tmp_path / "out.tif"))
    assert not (tmp_path / "out.tif").exists()
    assert pickle.Unpickler is not cellpose._ArraysOnly


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b"[]"),
        ("a.json", b'{"images": [{"id": 1}], "annotations": []}'),
        ("a.json", b'{"images": [{"id": 1, "height": 3, "width": 3}], "annotations": '
                   b'[{"image_id": 9, "segmentation": []}]}'),
        ("a.zip", b"PK nothing"),
        ("a.txt", b"labels"),
    ],
)  # fmt: skip
def test_damaged_files_get_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match="a\\."):
        run_import(ImportRequest(source=tmp_path / name, output=tmp_path / "out.tif"))


def test_foreign_coco_polygons_and_overlaps(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '{"images": [{"id": 3, "height": 6, "width": 8}], "annotations": ['
        '{"id": 1, "image_id": 3, "category_id": 2, "segmentation": '
        "[[1, 1, 5, 1, 5, 4, 1, 4]]},"
        '{"id": 2, "image_id": 3, "category_id": 2, "segmentation": '
        '[[4, 2, 7, 2, 7, 5, 4, 5]]}], "categories": [{"id": 2, "name": "yeast"}]}'
    )
    said: list[str] = []
    output = tmp_path / "out.tif"
    run_import(ImportRequest(source=path, output=output), Report(say=said.append))
    wanted = np.zeros((6, 8), np.uint8)
    wanted[2:5, 4:7] = 2
    wanted[1:4, 1:5] = 1
    np.testing.assert_array_equal(read_labels(output).labels, wanted)
    assert any(sentence.startswith("2 pixels belong to two") for sentence in said)
    assert "yeast" in (tmp_path / "out_objects.csv").read_text()
