"""``generate`` against the automatic mask generators of the reference packages."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import build_reference, save_meta

from napari_cellprompt._sample_data import nuclei_2d
from napari_cellprompt.core.inference.sam.drawing import draw_prompts
from napari_cellprompt.core.zoo.load import LoadedModel, load_model
from napari_cellprompt.predictors.sam2_image import SAM2Predictor

pytestmark = pytest.mark.parity

SIZE = 256


def picture() -> NDArray[np.uint8]:
    """Simulated nuclei, ``(200, 280, 3)``: of another aspect than the model's input."""
    ((data, options, _),) = nuclei_2d()
    low, high = options["contrast_limits"]
    grey = np.clip((data[:200, :280] - low) * (255 / (high - low)), 0, 255)
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


@dataclass(frozen=True)
class Trained:
    """The bundled model in both packages, which draw clicks into its mask prompt.

    Random weights give masks that cover the image: all are duplicates of the first.
    """

    reference: Any
    model: LoadedModel


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    model = load_model("cellprompt-nano", image_size=SIZE, device="cpu")
    path = save_meta(model.network, tmp_path_factory.mktemp("meta") / "nano.pt")
    reference = build_reference("cellprompt-nano", image_size=SIZE, checkpoint=path)
    drawing = model.spec.drawing
    assert drawing is not None
    embed = reference.sam_prompt_encoder.forward

    def drawn(points: Any, boxes: Any, masks: Any) -> Any:
        assert boxes is None
        assert masks is None
        canvas = draw_prompts(
            *points, SIZE, amplitude=drawing.amplitude, sigma=drawing.sigma
        )
        return embed(points=points, boxes=None, masks=canvas)

    reference.sam_prompt_encoder.forward = drawn
    return Trained(reference, model)


def compare(found: Any, records: list[dict[str, Any]]) -> None:
    """Same masks, boxes and scores in the same order."""
    masks, scores, boxes = found
    assert len(masks) == len(records)
    assert len(masks) > 3, "a comparison that tests nothing"
    for mask, score, box, record in zip(masks, scores, boxes, records, strict=True):
        expected = record["segmentation"]
        differing = int((mask.numpy() != expected).sum())
        # two orders of rounding may flip a pixel whose logit is almost 0
        assert differing <= 2e-4 * expected.size
        assert float(score) == pytest.approx(record["predicted_iou"], abs=1e-4)
        x, y, width, height = record["bbox"]
        # the reference counts the last row and column as inside
        if differing == 0:
            assert box.tolist() == [x, y, x + width + 1, y + height + 1]
        assert 0 < int(mask.sum()) < mask.numel()


LOOSE = {
    "pred_iou_thresh": 0.3,
    "stability_score_thresh": 0.6,
    "stability_score_offset": 0.5,
    "box_nms_thresh": 0.6,
}
"""So that masks survive, but not all of them."""

SETTINGS: list[Any] = [
    pytest.param({"points_stride": 10}, id="whole image"),
    pytest.param({"points_stride": 10, "points_batch_size": 7}, id="small batches"),
    pytest.param(
        {"points_stride": 10, "crop_n_layers": 1, "crop_downscale_factor": 2}, id="crops"
    ),
    pytest.param(
        {"points_stride": 7, "crop_n_layers": 1, "crop_nms_thresh": 0.4}, id="crop nms"
    ),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_sam2(trained: Trained, settings: dict[str, Any]) -> None:
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    options = {
        "points_batch_size": 64,
        "crop_n_layers": 0,
        "crop_downscale_factor": 1,
        "crop_nms_thresh": 0.7,
        **settings,
    }
    with warnings.catch_warnings():
        # The package compiles its resizing with torch.jit.script, which is deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
        reference = SAM2AutomaticMaskGenerator(
            trained.reference,
            points_per_side=options["points_stride"],
            points_per_batch=options["points_batch_size"],
            crop_n_layers=options["crop_n_layers"],
            crop_n_points_downscale_factor=options["crop_downscale_factor"],
            crop_nms_thresh=options["crop_nms_thresh"],
            **LOOSE,
        )
    # written down for an input of 1024 in the package
    reference.predictor._bb_feat_sizes = [(SIZE // s, SIZE // s) for s in (4, 8, 16)]
    predictor = SAM2Predictor(overrides={"iou": LOOSE["box_nms_thresh"]})
    predictor.setup_model(trained.model, verbose=False)
    compare(
        predictor.generate(
            picture(),
            conf_thres=LOOSE["pred_iou_thresh"],
            stability_score_thresh=LOOSE["stability_score_thresh"],
            stability_score_offset=LOOSE["stability_score_offset"],
            **options,
        ),
        reference.generate(picture()),
    )
