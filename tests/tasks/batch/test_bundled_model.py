"""The bundled model on workers, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellprompt._sample_data import nuclei_2d, nuclei_2d_truth
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels

JOB = "task: everything\nmodel: cellprompt-focus\ndevice: cpu\nsize: 40\n"
PART = (slice(0, 320), slice(0, 320))
"""Of the sample image: some forty nuclei, many of them touching."""


@pytest.mark.slow
def test_images_and_one_image_in_blocks(scheduler, tmp_path: Path, capsys) -> None:
    truth = np.asarray(nuclei_2d_truth()[0][0])[PART]
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "cells.tif"
    tifffile.imwrite(image, np.asarray(nuclei_2d()[0][0])[PART])
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    line = ["batch", str(image.parent), str(job), "--scheduler", scheduler]
    assert main([*line, "-o", str(tmp_path / "out"), "--json"]) == 0
    lines = capsys.readouterr().out
    assert '"state": "done"' in lines
    whole = read_labels(tmp_path / "out" / "cells_labels.tif").labels
    assert average_precision(whole, truth)[0] > 0.6
    line[1] = str(image)
    target = tmp_path / "cells.zarr"
    assert main([*line, "-o", str(target), "--block", "192"]) == 0
    blocks = np.asarray(read_image(target).data)
    assert len(np.unique(blocks)) == blocks.max() + 1
    # the seams change single objects, as the tiles of the model begin elsewhere
    same = average_precision(blocks, whole)[0]
    print(
        f"blocks as the whole {same:.2f}, whole {average_precision(whole, truth)[0]:.2f}, "
        f"blocks {average_precision(blocks, truth)[0]:.2f}"
    )
    assert same > 0.8
    assert average_precision(blocks, truth)[0] > 0.6
