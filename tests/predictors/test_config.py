from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.predictors.config import DEFAULT_CFG, make_config


def test_overrides_win() -> None:
    config = make_config({"conf": 0.2, "model": "sam2.1_t"}, {"conf": 0.5})
    assert (config.conf, config.model, config.iou) == (0.5, "sam2.1_t", 0.7)


@pytest.mark.parametrize("imgsz", [256, (256, 256), [256, 256], np.int64(256)])
def test_square_pair_is_one_side(imgsz) -> None:
    assert make_config(DEFAULT_CFG, {"imgsz": imgsz}).imgsz == 256


def test_settings_with_one_value_change_nothing() -> None:
    fixed = {"task": "segment", "mode": "predict", "batch": 1}
    assert make_config(DEFAULT_CFG, fixed) == DEFAULT_CFG


@pytest.mark.parametrize(
    ("save", "folder"), [(True, "cellprompt_results"), (False, None), ("out", "out")]
)
def test_save_is_a_folder_or_a_truth_value(save, folder) -> None:
    assert make_config(DEFAULT_CFG, {"save": save}).save == folder


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        pytest.param({"colour": 1}, TypeError, "known ones are model, imgsz", id="unknown"),
        pytest.param({"imgsz": (256, 128)}, ValueError, "two equal", id="not square"),
        pytest.param({"imgsz": 100}, ValueError, "multiple of 32", id="not a multiple"),
        pytest.param({"conf": 2}, ValueError, "between 0 and 1", id="conf"),
        pytest.param({"task": "detect"}, ValueError, "task must be 'segment'", id="task"),
        pytest.param({"mode": "train"}, ValueError, "mode must be 'predict'", id="mode"),
        pytest.param({"batch": 4}, ValueError, "batch must be 1", id="batch"),
        pytest.param({"imgsz": "1024"}, ValueError, "got '1024'", id="imgsz text"),
        pytest.param({"retina_masks": False}, ValueError, "always on", id="retina"),
    ],
)
def test_wrong_settings_are_refused(settings, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        make_config(DEFAULT_CFG, settings)
