from __future__ import annotations

from pathlib import Path

import pytest

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.tasks.batch.job import images_of, items_of, read_job
from napari_cellprompt.tasks.batch.schema import type_hints
from napari_cellprompt.tasks.batch.verbs import VERBS
from napari_cellprompt.tasks.requests import EverythingRequest, SegmentRequest


def job_of(folder: Path, text: str):
    path = folder / "job.yaml"
    path.write_text(text)
    return read_job(path)


def test_a_job_is_a_request(tmp_path: Path) -> None:
    job = job_of(
        tmp_path,
        "task: everything\nsize: 30\ncontrast: [1, 1e3]\naxes: null\n"
        "filters:\n  min_area: 20\n  drop_border: true\n",
    )
    request = job.request(Path("a.tif"), Path("a_labels.tif"))
    assert request == EverythingRequest(
        image=Path("a.tif"),
        output=Path("a_labels.tif"),
        size=30.0,
        contrast=(1.0, 1000.0),
        filters=FilterSettings(min_area=20.0, drop_border=True),
    )


def test_paths_follow_the_image(tmp_path: Path) -> None:
    job = job_of(tmp_path, "task: segment\nprompts: clicks/{stem}.json\n")
    images = [tmp_path / "a.ome.tif", tmp_path / "b.tif"]
    first, second = items_of(job, images, tmp_path / "out")
    assert first.request == SegmentRequest(
        image=images[0],
        prompts=tmp_path / "clicks" / "a.json",
        output=tmp_path / "out" / "a_labels.tif",
    )
    assert second.request.prompts.name == "b.json"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("size: 3", r"must say 'task: \.\.\.'"),
        ("task: sing", "line 1: task must be one of segment, everything"),
        (
            "task: everything\nsise: 3",
            "line 2: there is no setting 'sise'; did you mean 's",
        ),
        ("task: everything\nsize: big", "line 2: size must be a number: got 'b"),
        ("task: everything\nmode: 3", "line 2: mode must be one of auto, grid: got 3"),
        ("task: everything\nfilters: 3", "line 2: filters must be a block of settings"),
        ("task: everything\nfilters:\n  min_are: 3", "line 3: there is no .*'min_area'"),
        ("task: everything\nfilters:\n  min_area: -3", "min_area must not be negative"),
        ("task: everything\nimage: a.tif", "line 2: image comes from the command"),
        ("task: everything\nlink: 1", "line 2: link must be true or false"),
        (
            "task: everything\nlink: yes\nlink: no",
            "line 3: link was already said in line 2",
        ),
        ("task: everything\ncontrast: [1]", "line 2: contrast must be a list of 2"),
        ("task: everything\ncontrast:\n - 1\n - x", "line 4: contrast must be a number"),
        ("task: [", "is no YAML"),
        ("- 3", "must hold lines such as"),
        ("task: segment", "must say prompts or refine"),
        ("task: segment\nprompts: a.json\nrefine: b.tif", "just one of them"),
        ("task: segment\nprompts: '{stam}.json'", r"may hold \{stem\}"),
        ("task: fewshot\nagain: true", "line 2: again has no meaning in a batch"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        job_of(tmp_path, text)
    assert "job.yaml" in str(caught.value)


@pytest.mark.parametrize("name", VERBS)
def test_every_setting_of_a_task_has_a_type_that_is_known(name: str) -> None:
    kind = VERBS[name].request_class()
    hints = type_hints(kind)
    assert {"model", "device", VERBS[name].image, VERBS[name].output} <= set(hints)


def test_folders_and_lists(tmp_path: Path) -> None:
    for name in ("b_10.tif", "b_2.png", "b_2_labels.tif", ".hidden.tif", "notes.md"):
        (tmp_path / name).touch()
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / ".zgroup").touch()
    names = [path.name for path in images_of(tmp_path)]
    assert names == ["b_2.png", "b_10.tif", "c.zarr"]
    listed = tmp_path / "list.txt"
    listed.write_text("# two\nb_10.tif\n\nc.zarr\n")
    assert [path.name for path in images_of(listed)] == ["b_10.tif", "c.zarr"]
    listed.write_text("b_10.tif\nnone.tif\n")
    with pytest.raises(ImageError, match="line 2: there is no image"):
        images_of(listed)
    with pytest.raises(ImageError, match="There is no file or folder"):
        images_of(tmp_path / "nowhere")


def test_two_images_of_one_name(tmp_path: Path) -> None:
    job = job_of(tmp_path, "task: everything")
    with pytest.raises(ImageError, match=r"would both write a_labels\.tif"):
        items_of(job, [tmp_path / "a.tif", tmp_path / "a.png"], tmp_path)
