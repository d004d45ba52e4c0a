from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image
from npe2 import PluginManager, PluginManifest

from napari_cellprompt.layers.files import FILE_KEY, layer_read_from


@pytest.fixture
def opened(
    viewer: ViewerModel, tmp_path: Path, npe2pm: PluginManager
) -> tuple[ViewerModel, Path]:
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8))
    viewer.open(path, plugin="napari")
    return viewer, path


def found(viewer: ViewerModel, path: Path) -> Any:
    return layer_read_from(path, viewer.layers)


def test_the_file_itself_and_links_to_it(opened: Any, tmp_path: Path) -> None:
    viewer, path = opened
    assert found(viewer, path) is viewer.layers[0]
    (tmp_path / "soft.tif").symlink_to(path)
    (tmp_path / "hard.tif").hardlink_to(path)
    assert found(viewer, tmp_path / "soft.tif") is viewer.layers[0]
    assert found(viewer, tmp_path / "hard.tif") is viewer.layers[0]
    assert found(viewer, tmp_path / "sub" / ".." / "cells.tif") is viewer.layers[0]


def test_another_file_beside_it_is_free(opened: Any, tmp_path: Path) -> None:
    viewer, _ = opened
    assert found(viewer, tmp_path / "cells_labels.tif") is None


def test_a_file_that_only_the_metadata_name(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    layer = Image(np.zeros((8, 9)), metadata={"napari-cellprompt": {FILE_KEY: str(path)}})
    assert layer_read_from(path, [layer]) is layer


def test_nothing_goes_into_a_zarr_that_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "cells.zarr"
    (folder / "0").mkdir(parents=True)
    layer = Image(np.zeros((8, 9)), metadata={"napari-cellprompt": {FILE_KEY: str(folder)}})
    assert layer_read_from(folder / "0" / "labels.tif", [layer]) is layer
    assert layer_read_from(tmp_path / "labels.tif", [layer]) is None
