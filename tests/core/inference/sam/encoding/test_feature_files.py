from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.sam.encoding.feature_files import FeatureFiles
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
from napari_cellprompt.core.types import Prompts

CLICK = Prompts(points=((30.0, 30.0),), labels=(1,))


def features(value: float) -> ImageFeatures:
    """Features of 320 bytes."""
    return ImageFeatures(torch.full((1, 4, 4, 4), value), (torch.ones(1, 1, 4, 4),))


def picture() -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    return np.where((rows - 30) ** 2 + (columns - 30) ** 2 < 100, 200, 20).astype(np.uint8)


def segmenter(folder: Path) -> tuple[PlaneSegmenter, list[object]]:
    """A segmenter as after a restart, and a list that grows whenever it encodes."""
    made = PlaneSegmenter(
        load_model("cellprompt-nano"),
        cache=FeatureCache(1 << 28),
        files=FeatureFiles(folder, 1 << 28),
    )
    encoded: list[object] = []
    network = made.model.loaded.network
    encode = network.frame_features

    def counting(x: torch.Tensor) -> ImageFeatures:
        encoded.append(x)
        return encode(x)

    network.frame_features = counting
    return made, encoded


def test_a_restart_finds_the_same_mask_without_encoding(tmp_path: Path) -> None:
    first, encoded = segmenter(tmp_path)
    before = first.predict(PlaneSource.from_image(picture()), CLICK)
    assert encoded
    again, encoded = segmenter(tmp_path)
    after = again.predict(PlaneSource.from_image(picture()), CLICK)
    assert not encoded
    np.testing.assert_array_equal(before.best.logits, after.best.logits)


def test_other_pixels_contrast_or_weights_find_nothing(tmp_path: Path) -> None:
    first, _ = segmenter(tmp_path)
    first.predict(PlaneSource.from_image(picture()), CLICK)
    files = len(list(tmp_path.iterdir()))
    image = picture()
    image[90, 90] += 1
    sources = [PlaneSource.from_image(image), PlaneSource.from_image(picture(), (0, 90))]
    for source in sources:
        made, encoded = segmenter(tmp_path)
        made.predict(source, CLICK)
        assert encoded
    made, encoded = segmenter(tmp_path)
    with torch.no_grad():
        next(made.model.loaded.network.parameters()).add_(1e-3)
    made.predict(PlaneSource.from_image(picture()), CLICK)
    assert encoded
    assert len(list(tmp_path.iterdir())) > files


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    FeatureFiles(tmp_path, 10_000).put("a", features(0))
    budget = round(3.5 * (tmp_path / "a.features").stat().st_size)
    files = FeatureFiles(tmp_path, budget)
    for number, name in enumerate("abc"):
        files.put(name, features(number))
        os.utime(tmp_path / f"{name}.features", (number + 1, number + 1))
    assert files.get("a") is not None  # used just now
    files.put("d", features(3))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= budget
    assert files.get("a") is not None
    assert files.get("b") is None
    for name in "efghi":
        files.put(name, features(0))
    assert 0 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= budget


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, 10_000)
    files.put("a", features(1))
    path = tmp_path / "a.features"
    path.write_bytes(path.read_bytes()[:100])
    assert files.get("a") is None
    assert not path.exists()
    files.put("a", features(2))
    found = files.get("a")
    assert found is not None
    assert float(found.embed.max()) == 2


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    files = FeatureFiles(blocked / "folder", 10_000)
    with pytest.warns(RuntimeWarning, match="no longer kept on the disk"):
        files.put("a", features(1))
    files.put("b", features(1))
    assert files.get("a") is None


def test_features_larger_than_the_budget_are_not_written(tmp_path: Path) -> None:
    FeatureFiles(tmp_path, 100).put("a", features(1))
    assert not list(tmp_path.iterdir())
