"""What a name or a path of a model means."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cellprompt.core.errors import CheckpointError, DownloadError
from napari_cellprompt.core.zoo.places import find_weights, weights_path
from napari_cellprompt.core.zoo.registry import find_spec, stem_of
from napari_cellprompt.core.zoo.user_models import (
    UserModel,
    forget_model,
    write_user_models,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("CELLPROMPT_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("name", ["cellprompt-nano", "nano", "nano.pt", Path("nano.pt")])
def test_names_of_the_zoo_with_and_without_a_suffix(name: str | Path) -> None:
    with find_weights(name) as place:
        assert place.published is not None
        assert place.published.name == "cellprompt-nano"
        assert place.path.is_file()


def test_a_file_of_that_name_wins(tmp_path: Path) -> None:
    (tmp_path / "nano.pt").write_bytes(b"mine")
    with find_weights("nano.pt") as place:
        assert place.published is None
        assert place.path.read_bytes() == b"mine"


def test_a_name_with_a_folder_is_a_path() -> None:
    with find_weights("elsewhere/nano.pt") as place:
        assert place.path == Path("elsewhere/nano.pt")
        assert place.published is None


@pytest.mark.parametrize("name", ["mine", "mine.pt", "mine.safetensors"])
def test_imported_models_with_and_without_a_suffix(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "weights.pt"
    path.parent.mkdir()
    path.write_bytes(b"x")
    write_user_models({"mine": UserModel("mine", str(path), "sam2", 512)})
    with find_weights(name) as place:
        assert place.mine is not None
        assert place.path == path


def test_weights_that_are_not_here_say_how_to_get_them() -> None:
    with pytest.raises(DownloadError, match="cellprompt models download sam2_hiera_tiny"):
        weights_path("sam2_t.pt")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"no model named 'sam9\.pt'.*mobile_sam"):
        weights_path(Path("sam9.pt"))


def test_suffixes_and_aliases_are_names_everywhere(cache: Path) -> None:
    assert stem_of("sam2.1_t.pt") == "sam2.1_t"
    assert find_spec("sam2.1_t.pth") is find_spec("sam2.1_hiera_tiny")
    assert find_spec("sam9") is None
    (cache / "mobile_sam.pt").write_bytes(b"x")
    assert forget_model("mobile_sam.pt") == cache / "mobile_sam.pt"
