from __future__ import annotations

import numpy as np

from napari_cellprompt.evaluation.demo import inner_points


def test_inner_points_lie_deepest_in_their_object() -> None:
    labels = np.zeros((30, 40), np.uint16)
    labels[0:9, 0:9] = 2
    labels[20:25, 10:31] = 7
    labels[2, 35] = 5
    points = inner_points(labels)
    assert set(points) == {2, 5, 7}
    assert points[2] == (4, 4)
    assert points[5] == (35, 2)
    assert points[7][1] == 22
    assert all(labels[int(y), int(x)] == index for index, (x, y) in points.items())
