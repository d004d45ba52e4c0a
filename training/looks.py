"""Renders label maps as images of many kinds of microscopy.

The images that may be trained on show few modalities; the outlines in them fit many more.
A network that has seen the same shapes as dark bodies with a halo, as membranes alone or
as relief depends less on what the labelled images happen to look like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from data import stretch_to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Field = NDArray[np.float32]

__all__ = ["STYLES", "render", "render_planes", "typical_radius"]


class _Scene:
    """What every style needs to know of a label map.

    Parameters
    ----------
    labels
        ``(h, w)`` ids, 0 where nothing is.
    rng
        Random numbers.
    grain
        Random numbers of noise and texture.
    count
        The highest id there may be.
    radius
        Of a typical object, pixels; that of these objects where it is left out.
    """

    def __init__(
        self,
        labels: NDArray[np.uint16],
        rng: np.random.Generator,
        grain: np.random.Generator,
        count: int,
        radius: float | None = None,
    ) -> None:
        self.labels, self.rng, self.grain, self.count = labels, rng, grain, count
        self.inside = (labels > 0).astype(np.float32)
        edge = np.zeros(labels.shape, dtype=bool)
        below, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
        edge[1:] |= below
        edge[:-1] |= below
        edge[:, 1:] |= right
        edge[:, :-1] |= right
        self.depth = ndimage.distance_transform_edt(~edge).astype(np.float32)
        """Pixels to the nearest outline, inside of objects as outside."""
        self.radius = typical_radius(labels) if radius is None else radius

    def uniform(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def each(self, spread: float) -> Field:
        """A factor around 1 for each object, drawn over its area; 1 outside."""
        table = np.exp(self.rng.normal(0.0, spread, self.count + 1))
        table[0] = 1.0
        return table.astype(np.float32)[self.labels]

    def texture(self, scale: float) -> Field:
        """Smooth noise of mean 0 and deviation 1 with structures of ``scale`` pixels."""
        height, width = self.labels.shape
        # made small and enlarged: filters of many pixels are slow
        step = max(scale / 2.0, 1.0)
        shape = (int(height / step) + 4, int(width / step) + 4)
        noise = self.grain.standard_normal(shape, dtype=np.float32)
        noise = ndimage.gaussian_filter(noise, scale / step / 2)
        if step > 1.0:
            noise = ndimage.zoom(noise, step, order=1)
        noise = noise[:height, :width]
        noise = np.pad(
            noise, ((0, height - len(noise)), (0, width - noise.shape[1])), mode="edge"
        )
        centred: Field = (noise - noise.mean()) / max(float(noise.std()), 1e-6)
        return centred

    def near_outline(self, width: float) -> Field:
        """1 on outlines, falling off over ``width`` pixels to both sides."""
        falloff: Field = np.exp(-((self.depth / max(width, 0.5)) ** 2))
        return falloff

    def shade(self) -> Field:
        """Grows from 0 at the outline of an object to 1 inside of it."""
        reach = self.radius * self.uniform(0.1, 0.7)
        shade: Field = self.inside * (1 - np.exp(-self.depth / reach))
        return shade


def _fluorescence(scene: _Scene) -> Field:
    body = scene.each(0.4) * (0.5 * scene.inside + 0.5 * scene.shade())
    body *= 1 + scene.uniform(0.0, 0.35) * scene.texture(scene.radius * 0.35)
    haze = ndimage.gaussian_filter(body, scene.radius * 0.7)
    return body + scene.uniform(0.0, 0.5) * haze


def _phase_contrast(scene: _Scene) -> Field:
    """Dark bodies in a bright halo that fades outwards."""
    halo = np.exp(-scene.depth / (scene.radius * scene.uniform(0.1, 0.5)))
    body = scene.shade() * scene.each(0.25) * scene.uniform(0.3, 1.0)
    rim = scene.near_outline(scene.radius * scene.uniform(0.05, 0.2))
    image = scene.uniform(0.1, 0.8) * halo * (1 - scene.inside) - body
    image += scene.uniform(-0.5, 0.6) * rim
    # small bright things within, such as vacuoles
    spots = np.clip(scene.texture(scene.radius * 0.4) - 1.2, 0, 1)
    return image + scene.uniform(0.0, 0.7) * spots * scene.inside


def _rimmed(scene: _Scene) -> Field:
    """Bright bodies within a dark rim; the inside is about as bright as the outside."""
    rim = scene.near_outline(scene.radius * scene.uniform(0.06, 0.25))
    lift = scene.uniform(-0.1, 0.5) * scene.inside * scene.each(0.2)
    grain = scene.uniform(0.0, 0.15) * scene.texture(scene.radius * 0.3) * scene.inside
    return lift + grain - scene.uniform(0.4, 1.0) * rim


def _relief(scene: _Scene) -> Field:
    """Differential interference contrast: slopes lit from one side."""
    height = scene.each(0.2) * np.sqrt(scene.inside * scene.depth / scene.radius)
    height += scene.uniform(0.0, 0.15) * scene.inside * scene.texture(scene.radius * 0.4)
    height = ndimage.gaussian_filter(height, max(scene.radius * 0.08, 0.7))
    rise, run = np.gradient(height)
    angle = scene.uniform(0.0, 2 * np.pi)
    slope = np.cos(angle) * rise + np.sin(angle) * run
    slope /= max(float(slope.std()), 1e-6)
    return slope * 0.3 + scene.uniform(-0.2, 0.2) * scene.inside


def _membranes(scene: _Scene) -> Field:
    """Outlines alone, uneven and interrupted."""
    line = scene.near_outline(scene.radius * scene.uniform(0.05, 0.18))
    uneven = np.clip(
        1 + scene.uniform(0.0, 0.5) * scene.texture(scene.radius * 0.8), 0, None
    )
    return line * uneven + scene.uniform(0.0, 0.15) * scene.texture(scene.radius * 0.3)


def _electron(scene: _Scene) -> Field:
    """Grainy matter everywhere; objects differ a little in tone and have dark membranes."""
    grain = sum(
        weight * scene.texture(size)
        for weight, size in ((0.25, 1.0), (0.25, 3.0), (0.3, scene.radius * 0.5))
    )
    tone = scene.uniform(-0.8, 0.8) * scene.inside * scene.each(0.15)
    line = scene.near_outline(max(scene.radius * scene.uniform(0.04, 0.12), 0.8))
    image: Field = grain * scene.uniform(0.3, 0.7) + tone
    return image - scene.uniform(0.5, 1.5) * line


def _textured(scene: _Scene) -> Field:
    """Objects differ from what is around them in texture more than in brightness."""
    scale = scene.radius * scene.uniform(0.15, 0.5)
    within = scene.texture(scale) * scene.uniform(0.3, 1.0)
    around = scene.texture(scale * scene.uniform(1.5, 5.0)) * scene.uniform(0.05, 0.4)
    step = scene.uniform(-0.7, 0.7)
    return np.where(scene.inside > 0, within + step, around).astype(np.float32)


def _flat(scene: _Scene) -> Field:
    """Phase contrast of thin cells: as bright as the ground, granular in the middle."""
    middle = np.clip(scene.depth / (scene.radius * scene.uniform(0.5, 0.9)), 0, 1)
    middle = middle * scene.inside
    grains = scene.texture(max(scene.radius * scene.uniform(0.04, 0.12), 1.0))
    image = scene.uniform(-0.35, 0.15) * scene.inside * scene.each(0.3)
    image = image + scene.uniform(0.1, 0.5) * grains * middle
    # the outline is a thin bright or dark line, in places not to be seen
    seen = np.clip(0.6 + scene.texture(scene.radius * 0.9), 0, 1.2)
    rim = scene.near_outline(max(scene.radius * scene.uniform(0.03, 0.08), 0.8))
    sign = 1 if scene.rng.random() < 0.6 else -1
    image += sign * scene.uniform(0.4, 1.2) * rim * seen
    halo = np.exp(-scene.depth / (scene.radius * scene.uniform(0.08, 0.3)))
    image += scene.uniform(0.0, 0.6) * halo * (1 - scene.inside) * seen
    nucleus = (middle > scene.uniform(0.75, 0.95)).astype(np.float32)
    nucleus = ndimage.gaussian_filter(nucleus, 1.0)
    image += scene.uniform(-0.5, 0.3) * nucleus
    ground = scene.uniform(0.02, 0.15) * scene.texture(scene.radius * 0.3)
    return image + ground


def _layered(scene: _Scene) -> Field:
    """Quantitative phase: thicker towards the middle, with a few dense grains."""
    height = scene.each(0.3) * (scene.inside * scene.depth / scene.radius) ** scene.uniform(
        0.4, 1.2
    )
    grains = np.clip(scene.texture(scene.radius * 0.15) - 0.8, 0, 2)
    image: Field = height * (1 + scene.uniform(0.0, 0.6) * grains)
    return image + scene.uniform(0.0, 0.04) * scene.texture(scene.radius)


def _plain(scene: _Scene) -> Field:
    """Even bodies on an even ground, as a simulation or a thresholded image shows them."""
    return scene.inside * scene.each(scene.uniform(0.0, 0.3))


STYLES: dict[str, Callable[[_Scene], NDArray[np.float32]]] = {
    "fluorescence": _fluorescence,
    "phase contrast": _phase_contrast,
    "rimmed": _rimmed,
    "relief": _relief,
    "membranes": _membranes,
    "electron": _electron,
    "textured": _textured,
    "flat": _flat,
    "layered": _layered,
    "plain": _plain,
}
_WEIGHTS = np.array((0.13, 0.2, 0.1, 0.07, 0.1, 0.08, 0.07, 0.13, 0.05, 0.07))
CLEAN = 0.7
"""Of the plain scenes, those that no camera has spoilt."""


def _camera(image: Field, scene: _Scene) -> Field:
    """Uneven light, dirt, lack of focus, and the noise of counting photons."""
    rng, (height, width) = scene.rng, image.shape
    low, high = np.percentile(image, (0.5, 99.5))
    image = (image - low) / max(float(high - low), 1e-6)
    if rng.random() < 0.35:
        image = 1 - image
    image = scene.uniform(0.0, 0.6) + image * scene.uniform(0.3, 1.0)
    if rng.random() < 0.4:
        y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
        tilt = scene.uniform(-0.4, 0.4) * x + scene.uniform(-0.4, 0.4) * y
        image = image * (1 + tilt.astype(np.float32))
    if rng.random() < 0.3:
        dirt = np.clip(scene.texture(scene.radius * scene.uniform(0.15, 0.5)) - 2.3, 0, 1)
        image = image + scene.uniform(-1.0, 1.0) * dirt
    if rng.random() < 0.6:
        image = ndimage.gaussian_filter(
            image, scene.uniform(0.4, 0.15 * scene.radius + 0.5)
        )
    photons = float(np.exp(rng.uniform(np.log(60), np.log(4000))))
    image = np.clip(image, 0, None)
    noise = scene.grain.standard_normal(image.shape, dtype=np.float32)
    noisy: Field = image + np.sqrt(image / photons + 1e-5) * noise
    return noisy


def typical_radius(labels: NDArray[np.uint16]) -> float:
    """Of the object of median area, pixels; at least 2."""
    area = np.bincount(labels.ravel())[1:]
    area = area[area > 0]
    typical = float(np.median(area)) if len(area) else 400.0
    return max(float(np.sqrt(typical / np.pi)), 2.0)


def render_planes(
    labels: NDArray[np.uint16], rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Make up the planes of a stack: one look for all, noise and texture of each its own.

    Parameters
    ----------
    labels
        ``(N, h, w)`` ids that stay the same from plane to plane.
    rng
        Random numbers.
    """
    seed, count = int(rng.integers(2**32)), int(labels.max())
    radius = typical_radius(labels[len(labels) // 2])
    return [
        render(plane, np.random.default_rng(seed), grain=rng, count=count, radius=radius)
        for plane in labels
    ]


def render(
    labels: NDArray[np.uint16],
    rng: np.random.Generator,
    *,
    style: str | None = None,
    grain: np.random.Generator | None = None,
    count: int | None = None,
    radius: float | None = None,
) -> NDArray[np.uint8]:
    """Make up an image of the objects of a label map.

    Parameters
    ----------
    labels
        ``(h, w)`` ids, 0 where nothing is.
    rng
        Random numbers.
    style
        One of ``STYLES``; None for a random one.
    grain
        Draws noise and texture; ``rng`` where it is left out.
    count, radius
        The highest id and the typical radius where other planes of a stack share them.

    Returns
    -------
    ndarray
        ``(h, w)``, sometimes ``(h, w, 3)``, uint8, contrast stretched as real images are.
    """
    names = list(STYLES)
    scene = _Scene(
        labels,
        rng,
        rng if grain is None else grain,
        int(labels.max()) if count is None else count,
        radius,
    )

    def layer() -> Field:
        name = style or names[int(rng.choice(len(names), p=_WEIGHTS))]
        image = STYLES[name](scene)
        if name == "plain" and rng.random() < CLEAN:
            noise = scene.grain.standard_normal(image.shape, dtype=np.float32)
            return image + scene.uniform(0.0, 0.05) * noise
        return _camera(image, scene)

    if rng.random() < 0.85:
        return stretch_to_uint8(layer())
    # two stains, each with a colour of its own, on a bright or a dark ground
    ground = np.full(3, rng.uniform(0.8, 1.0) if rng.random() < 0.5 else 0.0)
    colour = np.repeat(ground[None, None], 1, axis=0).astype(np.float32)
    for _ in range(2):
        amount = rng.uniform(0.2, 1.0, 3) * (-1 if ground[0] > 0 else 1)
        colour = colour + layer()[..., None] * amount.astype(np.float32)
    return stretch_to_uint8(colour)
