from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.small_focus import discs, small_focus, small_focus_file

from napari_cellprompt import adapt
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.adapt.lessons import MarkedPlane, save_marked
from napari_cellprompt.core.errors import CheckpointError, ImageError
from napari_cellprompt.core.zoo.user_models import user_models
from napari_cellprompt.io.known_sets import DataSet
from napari_cellprompt.tasks.adapt.marked import marked_planes
from napari_cellprompt.tasks.adapt.process import JOB, MARKED


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))


def test_arrays_in_a_better_or_worse_model_out(tmp_path):
    image, labels = discs(8)
    output = tmp_path / "own.safetensors"
    told = []
    adapted = adapt(
        small_focus(), image, labels, steps=1, output=output, progress=told.append
    )
    assert adapted.steps == 1 and adapted.learnt == 5
    assert output.is_file() and told[-1].judgement is not None


def test_stacks_give_neighbours_to_learn_from(tmp_path):
    image, labels = discs(8)
    stack = np.stack([image] * 3)
    tifffile.imwrite(tmp_path / "a_img.tif", stack, metadata={"axes": "ZYX"}, imagej=True)
    ids = np.stack([labels] * 3)
    tifffile.imwrite(tmp_path / "a_lab.tif", ids, metadata={"axes": "ZYX"}, imagej=True)
    item = DataSet("a", tmp_path / "a_img.tif", tmp_path / "a_lab.tif")
    planes = marked_planes(item)
    assert [plane.position for plane in planes] == [0, 1, 2]
    assert len({plane.series for plane in planes}) == 1 and planes[0].series
    assert np.array_equal(planes[1].labels, labels)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (None, None, "Give images and labels"),
        ([np.zeros((9, 9), np.uint8)], np.zeros((9, 9), np.uint8), "as many labels"),
        (np.zeros((9, 9), np.uint8), np.zeros((8, 9), np.uint8), "do not fit an image"),
        (np.zeros((9, 9), np.uint8), np.zeros((9, 9)), "must be integers"),
    ],
)
def test_bad_input_gets_a_sentence(images, labels, message):
    with pytest.raises(ImageError, match=message):
        adapt(small_focus(), images, labels, steps=1)


def folder_of(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    image, labels = discs(8)
    tifffile.imwrite(folder / "one_img.tif", image)
    tifffile.imwrite(folder / "one_lab.tif", labels)
    return folder


def test_the_command_writes_and_imports(tmp_path, capsys):
    folder, model = folder_of(tmp_path), small_focus_file(tmp_path)
    output = tmp_path / "own.safetensors"
    arguments = ["adapt", str(folder), "-o", str(output), "--model", str(model)]
    assert main([*arguments, "--steps", "1", "--always"]) == 0
    text = capsys.readouterr().err
    assert "learns from 5 objects; 3 objects decide" in text
    assert "IoU of a click" in text and "imported as own" in text
    assert user_models()["own"].origin == "from small, 8 objects of one"
    assert main(["models", "info", "own"]) == 0
    assert "from small, 8 objects of one" in capsys.readouterr().out


def test_the_command_leaves_nothing_where_the_model_is_no_better(tmp_path, capsys):
    folder, model = folder_of(tmp_path), small_focus_file(tmp_path)
    output = tmp_path / "own.safetensors"
    arguments = ["adapt", str(folder), "-o", str(output), "--model", str(model)]
    assert main([*arguments, "--steps", "1"]) == 0
    assert "no better: nothing was written" in capsys.readouterr().err
    assert not output.exists() and not user_models()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "small.safetensors"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("own.pt", "written as .safetensors"),
        ("cellprompt-focus.safetensors", "name of a published model"),
        ("nowhere/own.safetensors", "no folder that can be written to"),
    ],
)
def test_what_is_wrong_with_the_output_is_said_first(tmp_path, capsys, output, message):
    folder = folder_of(tmp_path)
    assert main(["adapt", str(folder), "-o", str(tmp_path / output)]) == 2
    assert message in capsys.readouterr().err


def test_other_models_do_not_learn():
    image, labels = discs(8)
    with pytest.raises(CheckpointError, match="only crop-wise models"):
        adapt("cellprompt-nano", image, labels, steps=1)


def test_a_process_of_its_own_tells_what_it_does(tmp_path):
    image, labels = discs(8)
    folder = tmp_path / "job"
    folder.mkdir()
    save_marked(folder / MARKED, [MarkedPlane(image, labels)])
    job = {
        "model": str(small_focus_file(tmp_path)),
        "output": str(tmp_path / "own.safetensors"),
        "images": "discs",
        "settings": {"steps": 1, "seconds": 300, "most_clicks": 2},
        "nice": 0,
    }
    (folder / JOB).write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", "napari_cellprompt.tasks.adapt.process", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"share": 0, "step": 0, "judgement": None}
    assert lines[1]["step"] == 0 and lines[1]["judgement"]["objects"] == 3
    assert lines[-1]["steps"] == 1 and not lines[-1]["better"]
    assert (tmp_path / "own.safetensors").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="weights of sessions are Linux's")
@pytest.mark.parametrize("own", [True, False], ids=["own session", "a shell's"])
def test_it_steps_back_without_holding_up_its_shell(own):
    weight = Path("/proc/self/autogroup")
    if not weight.exists():
        pytest.skip("this kernel does not weigh sessions")
    code = (
        "import os; from pathlib import Path; "
        "from napari_cellprompt.tasks.adapt.process import step_back; step_back(15); "
        f"print(os.nice(0)); print(Path('{weight}').read_text().strip())"
    )
    before = weight.read_text()  # empty where the kernel keeps no weight for this session
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=own,
    )
    nice, _, of_session = done.stdout.partition("\n")
    assert int(nice) >= 15
    assert of_session.strip().endswith(" nice 15") == own
    assert weight.read_text() == before
