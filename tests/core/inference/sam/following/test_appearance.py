from __future__ import annotations

import numpy as np
from tests.followers import discs

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam.following.appearance import learn_appearance
from napari_cellprompt.core.inference.sam.following.views import FieldView
from napari_cellprompt.core.types import CroppedMask, Tile

SIDE = 384


def nucleus(radius: float) -> PlaneSource:
    rng = np.random.default_rng(0)
    plane = discs([{0: (48.0, 48.0, radius)}], (1, 96, 96))[0]
    return PlaneSource.from_image((plane + rng.normal(0, 5, plane.shape)).astype(np.uint8))


def disc(radius: float) -> CroppedMask:
    y, x = np.mgrid[:96, :96]
    return CroppedMask(np.hypot(x - 48, y - 48) <= radius, (0, 0), (96, 96))


def test_background_speaks_against_an_object_that_shrinks() -> None:
    look = learn_appearance(nucleus(20), disc(20))
    for view in (Tile(4.0, 0, 0, 96), FieldView(96, 96)):
        seen = look.evidence(nucleus(10), view, SIDE)
        assert seen.shape == (1, SIDE // 4, SIDE // 4)
        rim = seen[0, 48, 48 + 15]
        assert seen[0, 48, 48] > -0.05, "nothing speaks against what is left"
        assert rim < -1.5, "where it was there is background now"
        assert seen.max() <= 0, "nothing may make it grow into a neighbour"


def test_an_object_that_looks_like_its_surroundings_keeps_its_mask() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(90, 20, (96, 96)).clip(0, 255)
    plane = PlaneSource.from_image(noise.astype(np.uint8))
    seen = learn_appearance(plane, disc(20)).evidence(plane, Tile(4.0, 0, 0, 96), SIDE)
    assert abs(float(seen[0, 30:66, 30:66].mean())) < 0.2


def test_nothing_around_and_nothing_at_all() -> None:
    whole = CroppedMask(np.ones((96, 96), bool), (0, 0), (96, 96))
    assert learn_appearance(nucleus(20), whole) is None
    assert learn_appearance(nucleus(20), disc(-1)) is None


def test_colours_are_looked_at_as_grey() -> None:
    grey = nucleus(20).read(0, 96, 0, 96)
    colour = PlaneSource.from_image(np.repeat(grey[:, :, None], 3, axis=2))
    one = learn_appearance(nucleus(20), disc(20)).table
    np.testing.assert_allclose(learn_appearance(colour, disc(20)).table, one, atol=1e-5)
