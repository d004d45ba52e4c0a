from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.teaching import make, picture, square, teach

from napari_cellprompt import SAM2DynamicInteractivePredictor
from napari_cellprompt.core.errors import (
    CheckpointError,
    SaveError,
)


# -- budget and files -----------------------------------------------------------
def test_the_oldest_memories_go_but_no_object_is_forgotten(present, caplog) -> None:
    probe = make(present)
    teach(probe, 0, 1, points=[20, 20])
    size = probe.memory_bank.nbytes
    predictor = make(present, memory_bytes=3 * size)
    teach(predictor, 0, 1, points=[20, 20])
    for seed in (1, 2, 3, 4):
        teach(predictor, seed, 2, points=[20, 20])
    newest = predictor.memory_bank[-1].objects[2]
    assert predictor.memory_bank.nbytes == 3 * size
    assert [sorted(entry.objects) for entry in predictor.memory_bank] == [[1], [2], [2]]
    assert predictor.memory_bank.of(2)[-1] is newest
    assert "the 1 oldest memories were forgotten" in caplog.text
    teach(predictor, 5, 3, points=[20, 20])
    assert predictor.obj_ids == (1, 2, 3)
    assert predictor.memory_bank.of(2) == [newest]


def test_a_budget_that_holds_no_memory_is_an_error(present) -> None:
    predictor = make(present, memory_bytes=100)
    with pytest.raises(ValueError, match="raise memory_bytes"):
        teach(predictor, 0, 1, points=[20, 20])
    assert len(predictor.memory_bank) == 0
    with pytest.raises(ValueError, match="must be positive"):
        SAM2DynamicInteractivePredictor(memory_bytes=0)


def test_a_saved_bank_gives_the_same_answer(present, tmp_path) -> None:
    predictor = make(present)
    teach(predictor, 0, [1, 40], points=[[20, 20], [90, 90]])
    teach(predictor, 1, 40, masks=square(30, 30))
    path = predictor.save_memory(tmp_path / "bank.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["bank.safetensors"]
    other = make(present)
    other.load_memory(path)
    assert other.obj_ids == (1, 40)
    assert len(other.memory_bank) == 2
    expected, found = predictor(picture(2))[0], other(picture(2))[0]
    assert torch.equal(expected.low_res, found.low_res)
    assert torch.equal(expected.boxes.data, found.boxes.data)
    small = make(present, max_obj_num=1)
    with pytest.raises(ValueError, match="holds 2 objects"):
        small.load_memory(path)
    assert len(small.memory_bank) == 0


def test_a_bank_of_other_weights_or_size_is_refused(present, model, tmp_path) -> None:
    predictor = make(present)
    teach(predictor, 0, 1, points=[20, 20])
    path = predictor.save_memory(tmp_path / "bank.safetensors")
    with pytest.raises(CheckpointError, match="weights are not those of random"):
        make(model).load_memory(path)
    larger = replace(present, network=copy.deepcopy(present.network))
    larger.network.image_size = 256
    with pytest.raises(CheckpointError, match="made with imgsz=128"):
        make(larger).load_memory(path)


def test_files_that_are_no_bank_are_refused(present, tmp_path) -> None:
    predictor = make(present)
    teach(predictor, 0, 1, points=[20, 20])
    path = predictor.save_memory(tmp_path / "bank.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, str(other))
    lost = tmp_path / "lost.safetensors"
    with safe_open(str(path), framework="pt") as file:
        about = file.metadata()
        kept = {name: file.get_tensor(name) for name in file.keys()}
    kept["0.1.memory"] = kept["0.1.memory"][:, :2].contiguous()
    save_file(kept, str(lost), metadata=about)
    bad = {
        cut: "cannot be read",
        other: "is not a memory bank",
        lost: "Entry 0 .* is damaged .*memory must be",
        tmp_path / "missing.safetensors": "cannot be read",
    }
    for file_path, message in bad.items():
        with pytest.raises(CheckpointError, match=message):
            predictor.load_memory(file_path)
    assert len(predictor.memory_bank) == 1


def test_saving_needs_something_to_save_and_a_folder(present, tmp_path) -> None:
    predictor = make(present)
    with pytest.raises(ValueError, match="nothing to save"):
        predictor.save_memory(tmp_path / "bank.safetensors")
    teach(predictor, 0, 1, points=[20, 20])
    with pytest.raises(SaveError, match="does not exist"):
        predictor.save_memory(tmp_path / "no" / "bank.safetensors")


def test_memories_of_another_model_are_forgotten(present, model) -> None:
    predictor = make(present)
    teach(predictor, 0, 1, points=[20, 20])
    predictor.setup_model(present, verbose=False)
    assert predictor.obj_ids == (1,)
    predictor.setup_model(model, verbose=False)
    assert predictor.obj_ids == ()
