"""Images with two kinds of bright objects: disks, and bars of about the same area."""

from __future__ import annotations

import numpy as np


def disks_and_bars(seed: int, side: int = 96) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image ``(side, side)`` uint8, labels of its disks, and labels of its bars."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 20, np.uint8)
    disks, bars = (np.zeros((side, side), np.uint16) for _ in range(2))
    rows, columns = np.ogrid[:side, :side]
    places = [(y, x) for y in range(16, side, 32) for x in range(16, side, 32)]
    for number, (y, x) in enumerate(places):
        if number % 2:
            bars[y - 3 : y + 4, x - 11 : x + 12] = number + 1
        else:
            radius = rng.uniform(6.5, 7.5)
            disks[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number + 1
    image[(disks + bars) > 0] = 230
    return image, disks, bars
