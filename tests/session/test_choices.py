"""What is remembered from one start to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.session.choices import (
    Choices,
    model_at_start,
    read_choices,
    remember,
)
from napari_cellprompt.session.saved.autosave import data_folder


def test_each_choice_is_kept_by_itself() -> None:
    assert read_choices() == Choices()
    remember(model="sam_vit_b")
    remember(offered=True)
    assert read_choices() == Choices("sam_vit_b", True)
    remember(adapt_offered=True)
    assert read_choices() == Choices("sam_vit_b", True, adapt_offered=True)
    assert [file.name for file in data_folder().iterdir()] == ["choices.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"model": 1}', "\x00"])
def test_a_damaged_file_is_as_none(content: str) -> None:
    data_folder().mkdir(parents=True, exist_ok=True)
    (data_folder() / "choices.json").write_text(content)
    assert read_choices() == Choices()
    remember(model="mine")
    assert read_choices().model == "mine"


def test_a_folder_that_cannot_be_written_to_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELLPROMPT_SESSIONS", str(tmp_path / "file"))
    remember(model="mine")
    assert read_choices() == Choices()


def test_the_start_is_with_the_model_used_last_where_it_is_still_here(
    tmp_path: Path,
) -> None:
    def start(wanted: str = "") -> str:
        return model_at_start(wanted, read_choices().model)

    assert start() == DEFAULT_MODEL
    remember(model="cellprompt-nano")
    assert start() == "cellprompt-nano"
    assert start("sam_vit_b") == "sam_vit_b"  # the preferences have the last word
    mine = tmp_path / "mine.safetensors"
    remember(model=str(mine))
    assert start() == DEFAULT_MODEL
    mine.write_bytes(b"")
    assert start() == str(mine)


def test_channels_are_kept_by_kind_of_image_and_the_oldest_forgotten() -> None:
    row = {"number": 0, "layer": "", "use": "red"}
    remember(channels=("2 channels", [row]))
    remember(model="sam_vit_b")
    assert read_choices() == Choices("sam_vit_b", channels={"2 channels": [row]})
    for number in range(60):
        remember(channels=(f"layers {number}", [row]))
    kinds = list(read_choices().channels)
    assert len(kinds) == 50
    assert kinds[-1] == "layers 59"
    assert "2 channels" not in kinds
