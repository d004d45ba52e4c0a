"""The bundled models on workers, as a user runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import disks

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels

JOB = "task: everything\nmodel: cellprompt-focus\ndevice: cpu\nsize: 24\n"


@pytest.mark.slow
def test_images_and_one_image_in_blocks(scheduler, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    centres = [(y, x) for y in range(24, 250, 40) for x in range(24, 250, 40)]
    pixels, truth = disks((256, 256), centres, 12)
    noisy = np.clip(pixels * 0.6 + rng.normal(30, 6, pixels.shape), 0, 255).astype(np.uint8)
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "cells.tif"
    tifffile.imwrite(image, noisy)
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    line = ["batch", str(image.parent), str(job), "--scheduler", scheduler]
    assert main([*line, "-o", str(tmp_path / "out"), "--json"]) == 0
    lines = capsys.readouterr().out
    assert '"state": "done"' in lines
    whole = read_labels(tmp_path / "out" / "cells_labels.tif").labels
    assert average_precision(whole, truth)[0] > 0.2
    line[1] = str(image)
    target = tmp_path / "cells.zarr"
    assert main([*line, "-o", str(target), "--block", "128"]) == 0
    blocks = np.asarray(read_image(target).data)
    assert average_precision(blocks, truth)[0] > 0.2
    assert len(np.unique(blocks)) == blocks.max() + 1
