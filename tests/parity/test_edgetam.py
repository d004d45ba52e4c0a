"""EdgeTAM against its own package, which runs in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from edgetam_reference import BOX
from reference import assert_logits_agree
from test_video import SHAPE, write_clip
from torch import Tensor

from napari_cellprompt import SAM2VideoPredictor
from napari_cellprompt.core.zoo.load import LoadedModel, load_model

pytestmark = pytest.mark.parity

SIDE = 512
FRAMES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames, weights, and what the reference makes of them."""
    out = tmp_path_factory.mktemp("edgetam")
    frames = out / "frames"
    frames.mkdir()
    write_clip(frames, FRAMES)
    package = Path(sys.prefix) / "edgetam"
    assert package.is_dir(), "EdgeTAM's package is missing: run `make parity`"
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "edgetam_reference.py", out, str(SIDE), frames],
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{here}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = torch.load(folder / "found.pt", weights_only=True)
    return tensors


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load_model(folder / "edgetam.pt", image_size=SIDE, device="cpu")


def test_the_file_is_known_for_what_it_is(model: LoadedModel) -> None:
    assert model.spec.network["trunk"] == "repvit_m1"
    assert model.spec.network["perceiver_layers"] == 2
    assert model.network.version == "2.0"


def test_image_encoder(model: LoadedModel, found: dict[str, Tensor]) -> None:
    ours = model.network.frame_features(found["images"])
    for name, level in zip(
        ("level0", "level1", "level2"), (*ours.high_res, ours.embed), strict=True
    ):
        torch.testing.assert_close(level, found[name], rtol=0, atol=1e-5)


def test_an_object_through_a_movie(
    model: LoadedModel, folder: Path, found: dict[str, Tensor]
) -> None:
    predictor = SAM2VideoPredictor()
    predictor.setup_model(model, verbose=False)
    predictor.setup_source(folder / "frames")
    predictor.add_new_prompts(1, bboxes=BOX)

    def logits(frame: int) -> Tensor:
        low_res, _ = predictor._outcomes(frame)
        return predictor._to_source(low_res, SHAPE)

    assert_logits_agree(logits(0), found["prompted"][:, 0])
    seen = []
    for frame, _ in predictor.propagate(direction="forward"):
        assert_logits_agree(logits(frame), found[f"frame{frame}"][:, 0])
        seen.append(frame)
    assert seen == list(range(FRAMES))
    memory = predictor.state.objects[1].memory.prompted[0].memory
    assert memory is not None
    # bfloat16 rounds to a part in 256; a pixel on the outline may fall on either side
    near = torch.isclose(
        memory.float().flatten(1).t(), found["memory"][0], rtol=1 / 128, atol=1e-3
    )
    assert near.float().mean() > 0.99
