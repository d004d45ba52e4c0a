from __future__ import annotations

import pytest

from napari_cellprompt.predictors.config import DEFAULT_CFG, make_config


def test_overrides_win() -> None:
    config = make_config({"conf": 0.2, "model": "sam2.1_t"}, {"conf": 0.5})
    assert (config.conf, config.model, config.iou) == (0.5, "sam2.1_t", 0.7)


def test_square_pair_is_one_side() -> None:
    assert make_config(DEFAULT_CFG, {"imgsz": (256, 256)}).imgsz == 256


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        pytest.param({"colour": 1}, TypeError, "known ones are model, imgsz", id="unknown"),
        pytest.param({"imgsz": (256, 128)}, ValueError, "two equal", id="not square"),
        pytest.param({"imgsz": 100}, ValueError, "multiple of 32", id="not a multiple"),
        pytest.param({"conf": 2}, ValueError, "between 0 and 1", id="conf"),
        pytest.param({"retina_masks": False}, ValueError, "always on", id="retina"),
    ],
)
def test_wrong_settings_are_refused(settings, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        make_config(DEFAULT_CFG, settings)
