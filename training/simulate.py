"""Simulate fluorescent nuclei with known truth: one plane, a z-stack, a time-lapse.

Run ``python training/simulate.py`` to write the sample data of the package again; the
same seeds give the same pixels. Lengths are micrometres, arrays are in ZYX order, and
every function works in two and in three dimensions.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Labels = NDArray[np.uint16]

SAMPLE_FOLDER = Path(__file__).parents[1] / "src" / "napari_cellprompt" / "sample_data"

# Camera: electrons are converted to 12-bit grey values above a fixed offset.
OFFSET = 100.0
READ_NOISE = 2.5
GREY_MAX = 4095


@dataclass(frozen=True, slots=True, eq=False)
class Nucleus:
    """One nucleus; its outline and texture are carried along when it moves or turns."""

    centre: Floats
    """``(D,)`` position in micrometres."""
    semi_axes: Floats
    """``(D,)`` half lengths of the ellipsoid in micrometres."""
    rotation: Floats
    """``(D, D)`` rotation from the laboratory into the frame of the nucleus."""
    bumps: Floats
    """``(K, D + 2)`` waves on the outline: wave vector, phase, amplitude."""
    chromatin: Floats
    """``(M, D + 1)`` waves of the texture: wave vector (1/um) and phase."""
    nucleoli: Floats
    """``(L, D + 1)`` dark spots: position relative to the semi-axes, radius in um."""
    brightness: float
    """Photons per pixel in the middle."""
    contrast: float = 0.35
    """Standard deviation of the logarithm of the texture."""


@dataclass(frozen=True, slots=True)
class Track:
    """One line of the lineage table; frames are inclusive, parent 0 means none."""

    label: int
    first: int
    last: int
    parent: int


def random_rotation(rng: np.random.Generator, dims: int) -> Floats:
    """Rotation of the two in-plane axes by a random angle, ``(dims, dims)``."""
    return rotation_by(rng.uniform(0, math.pi), dims)


def rotation_by(angle: float, dims: int) -> Floats:
    """Rotation of the last two axes by ``angle`` radians, ``(dims, dims)``."""
    matrix = np.eye(dims)
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix[-2:, -2:] = ((cosine, sine), (-sine, cosine))
    return matrix


def random_nucleus(
    rng: np.random.Generator, centre: Floats, semi_axes: Floats, brightness: float
) -> Nucleus:
    """A nucleus of the given size with a random outline, texture and nucleoli."""
    dims = centre.size
    bumps = np.column_stack(
        [
            rng.normal(0, 1.6, (5, dims)),
            rng.uniform(0, 2 * math.pi, 5),
            rng.normal(0, 0.035, 5),
        ]
    )
    # Coarse and fine chromatin: wavelengths of about 4 um and about 1.3 um.
    waves = np.concatenate([rng.normal(0, 1.5, (16, dims)), rng.normal(0, 4.5, (32, dims))])
    chromatin = np.column_stack([waves, rng.uniform(0, 2 * math.pi, len(waves))])
    count = int(rng.integers(1, 5))
    nucleoli = np.column_stack(
        [rng.uniform(-0.5, 0.5, (count, dims)), rng.uniform(0.45, 0.95, count)]
    )
    return Nucleus(
        centre=centre,
        semi_axes=semi_axes,
        rotation=random_rotation(rng, dims),
        bumps=bumps,
        chromatin=chromatin,
        nucleoli=nucleoli,
        brightness=brightness,
    )


def window_of(
    nucleus: Nucleus, shape: tuple[int, ...], spacing: Floats
) -> tuple[slice, ...]:
    """The part of the array that can hold the nucleus; empty when it lies outside."""
    reach = np.where(
        np.arange(len(shape)) < len(shape) - 2,
        nucleus.semi_axes,
        nucleus.semi_axes[-2:].max(),
    )
    low = np.floor((nucleus.centre - 1.35 * reach) / spacing).astype(int)
    high = np.ceil((nucleus.centre + 1.35 * reach) / spacing).astype(int) + 1
    return tuple(
        slice(min(max(a, 0), n), min(max(b, 0), n))
        for a, b, n in zip(low, high, shape, strict=True)
    )


def local_coordinates(
    nucleus: Nucleus, window: tuple[slice, ...], spacing: Floats
) -> Floats:
    """Micrometres from the centre along the axes of the nucleus, ``(..., D)``."""
    grid = np.stack(
        np.meshgrid(*(np.arange(s.start, s.stop) for s in window), indexing="ij"), axis=-1
    )
    local: Floats = (grid * spacing - nucleus.centre) @ nucleus.rotation.T
    return local


def relative_radius(nucleus: Nucleus, local: Floats) -> Floats:
    """Distance from the centre in units of the outline: 0 inside, 1 on the outline."""
    dims = local.shape[-1]
    scaled = local / nucleus.semi_axes
    radius = np.linalg.norm(scaled, axis=-1)
    direction = scaled / np.maximum(radius, 1e-6)[..., None]
    waves = np.cos(direction @ nucleus.bumps[:, :dims].T + nucleus.bumps[:, dims])
    outline: Floats = 1 + waves @ nucleus.bumps[:, dims + 1]
    return radius / outline


def emission(nucleus: Nucleus, local: Floats, radius: Floats, *, widefield: bool) -> Floats:
    """Photons per pixel of one nucleus before the optics, zero outside of it."""
    dims = local.shape[-1]
    waves = np.cos(local @ nucleus.chromatin[:, :dims].T + nucleus.chromatin[:, dims])
    field = waves.sum(axis=-1) * math.sqrt(2 / len(nucleus.chromatin))
    texture = np.exp(nucleus.contrast * field)
    for spot in nucleus.nucleoli:
        away = np.linalg.norm(local - spot[:dims] * nucleus.semi_axes, axis=-1)
        texture *= 1 - 0.65 * np.exp(-((away / spot[dims]) ** 2))
    # A widefield microscope sums over the thickness, which falls towards the rim.
    thickness = np.sqrt(np.clip(1 - radius**2, 0, 1)) if widefield else 1.0
    inside = np.clip((1 - radius) * 8 + 0.5, 0, 1)
    photons: Floats = nucleus.brightness * texture * inside * (0.35 + 0.65 * thickness)
    return photons


def draw(
    nuclei: list[Nucleus], shape: tuple[int, ...], spacing: Floats, *, widefield: bool
) -> tuple[Floats, Labels]:
    """Sum the nuclei; return photons and labels (1-based position in the list).

    Where outlines overlap, a pixel belongs to the nucleus it lies deepest in.
    """
    photons = np.zeros(shape)
    labels = np.zeros(shape, np.uint16)
    depth = np.ones(shape)
    for label, nucleus in enumerate(nuclei, start=1):
        window = window_of(nucleus, shape, spacing)
        local = local_coordinates(nucleus, window, spacing)
        radius = relative_radius(nucleus, local)
        photons[window] += emission(nucleus, local, radius, widefield=widefield)
        deeper = radius < depth[window]
        labels[window][deeper] = label
        depth[window][deeper] = radius[deeper]
    return photons, labels


def scatter(
    rng: np.random.Generator,
    count: int,
    shape: tuple[int, ...],
    spacing: Floats,
    semi_axes: tuple[tuple[float, float], ...],
    photons: float,
    touching: float = 0.6,
) -> list[Nucleus]:
    """Place ``count`` nuclei, a share ``touching`` of them against an earlier one.

    ``semi_axes`` gives the range of each half length in micrometres. A place is
    refused when more than 3 % of the new nucleus would lie in others.
    """
    extent = np.array(shape) * spacing
    occupied = np.zeros(shape, bool)
    nuclei: list[Nucleus] = []
    for _ in range(200 * count):
        if len(nuclei) == count:
            break
        axes = np.array([rng.uniform(*limits) for limits in semi_axes])
        centre = rng.uniform(0.02, 0.98, extent.size) * extent
        if nuclei and rng.random() < touching:
            other = nuclei[int(rng.integers(len(nuclei)))]
            direction = rng.normal(size=extent.size)
            direction /= np.linalg.norm(direction)
            reach = (other.semi_axes + axes) * rng.uniform(0.88, 1.05)
            centre = other.centre + direction * reach
        brightness = photons * float(rng.lognormal(0, 0.3))
        nucleus = random_nucleus(rng, centre, axes, brightness)
        window = window_of(nucleus, shape, spacing)
        inside = relative_radius(nucleus, local_coordinates(nucleus, window, spacing)) < 1
        if inside.sum() < 40 or (inside & occupied[window]).sum() > 0.03 * inside.sum():
            continue
        occupied[window] |= inside
        nuclei.append(nucleus)
    return nuclei


def background(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: Floats, level: float
) -> Floats:
    """Uneven light behind the nuclei, in photons: patches and a brighter middle."""
    patches = ndimage.gaussian_filter(rng.normal(size=shape), 14 / spacing, mode="reflect")
    patches /= patches.std()
    rows, columns = (np.linspace(-1, 1, n) for n in shape[-2:])
    vignette = 1 - 0.3 * ((rows[:, None] - 0.3) ** 2 + (columns - 0.2) ** 2)
    light: Floats = level * (1 + 0.12 * patches) * vignette
    return light


def optics(
    photons: Floats, spacing: Floats, blur: tuple[float, ...], haze: float
) -> Floats:
    """Blur by the point spread function (sigma in um) and add out-of-focus light."""
    sharp = ndimage.gaussian_filter(photons, np.array(blur) / spacing, mode="nearest")
    wide = ndimage.gaussian_filter(photons, 5 / spacing, mode="reflect")
    seen: Floats = (1 - haze) * sharp + haze * wide
    return seen


def camera(rng: np.random.Generator, photons: Floats, gain: float) -> NDArray[np.uint16]:
    """Poisson noise, read noise, offset and conversion to 12-bit grey values."""
    # Rounded, so that the last bits of exp and cos, which differ between processors,
    # cannot change what the generator draws.
    electrons = rng.poisson(np.round(np.clip(photons, 0, None), 3))
    noise = np.round(rng.normal(0, READ_NOISE, photons.shape), 3)
    grey = OFFSET + gain * (electrons + noise)
    return np.clip(np.rint(grey), 0, GREY_MAX).astype(np.uint16)


def nuclei_2d(
    seed: int = 1, size: int = 512, count: int = 85
) -> tuple[NDArray[np.uint16], Labels]:
    """Nuclei on a cover slip, widefield, 0.325 um pixels: image and truth (YX)."""
    rng = np.random.default_rng(seed)
    shape, spacing = (size, size), np.array([0.325, 0.325])
    nuclei = scatter(rng, count, shape, spacing, ((5.2, 7.2), (3.8, 5.4)), 260)
    photons, labels = draw(nuclei, shape, spacing, widefield=True)
    # Cells that float above the focal plane: light without an outline, not in the truth.
    floating = scatter(rng, 7, shape, spacing, ((4.0, 6.0), (4.0, 6.0)), 220, 0)
    defocused, _ = draw(floating, shape, spacing, widefield=True)
    photons += 0.5 * ndimage.gaussian_filter(defocused, 3.5 / spacing)
    seen = optics(photons, spacing, (0.34, 0.34), 0.22)
    seen += background(rng, shape, spacing, 28)
    return camera(rng, seen, 4.0), labels


def nuclei_3d(
    seed: int = 3, shape: tuple[int, int, int] = (24, 160, 160), count: int = 34
) -> tuple[NDArray[np.uint16], Labels]:
    """Nuclei in a tissue, confocal, 1.0 x 0.25 x 0.25 um voxels: image and truth (ZYX)."""
    rng = np.random.default_rng(seed)
    spacing = np.array([1.0, 0.25, 0.25])
    ranges = ((3.2, 4.6), (3.9, 5.4), (3.2, 4.3))
    nuclei = scatter(rng, count, shape, spacing, ranges, 75)
    photons, labels = draw(nuclei, shape, spacing, widefield=False)
    # Light is lost on its way through the tissue.
    photons *= np.exp(-np.arange(shape[0]) / 32)[:, None, None]
    seen = optics(photons, spacing, (0.85, 0.24, 0.24), 0.1)
    seen += background(rng, shape, spacing, 5)
    return camera(rng, seen, 12.0), labels


# Shape and brightness around a division, by frames since it: the short and the long
# half axis relative to the radius, and the factor on the brightness.
MITOSIS = {
    -2: (0.86, 0.92, 1.35),
    -1: (0.34, 0.98, 2.5),
    0: (0.33, 0.85, 2.4),
    1: (0.48, 0.74, 1.7),
    2: (0.64, 0.76, 1.3),
}
# Distance of each daughter from the place of the mother, in radii.
SEPARATION = {0: 0.75, 1: 1.15, 2: 1.25}


@dataclass(slots=True, eq=False)
class Cell:
    """State of one cell of the time-lapse; ``nucleus`` holds its resting shape."""

    label: int
    nucleus: Nucleus
    angle: float
    radius: float
    parent: int = 0
    born: int = -100
    divides: int = 10**6
    heading: float = 0.0

    def seen_at(self, frame: int) -> Nucleus:
        """The nucleus as it looks in this frame of its cell cycle."""
        short, long, glow = MITOSIS.get(
            frame - self.divides, MITOSIS.get(frame - self.born, (0.82, 1.08, 1.0))
        )
        condensed = glow > 2
        return replace(
            self.nucleus,
            semi_axes=self.radius * np.array([short, long]),
            rotation=rotation_by(self.angle, 2),
            brightness=self.nucleus.brightness * glow,
            nucleoli=self.nucleus.nucleoli[:0] if glow > 1 else self.nucleus.nucleoli,
            contrast=0.15 if condensed else self.nucleus.contrast,
        )


def divide(
    rng: np.random.Generator, mother: Cell, frame: int, next_label: int
) -> list[Cell]:
    """Two daughters on either side of the mother's plate."""
    # The plate is narrow along the first axis of the nucleus' frame.
    axis = rotation_by(mother.angle, 2)[0]
    daughters = []
    for side in (-1, 1):
        offset = side * SEPARATION[0] * mother.radius * axis
        fresh = random_nucleus(
            rng,
            mother.nucleus.centre + offset,
            mother.nucleus.semi_axes,
            mother.nucleus.brightness * 0.92,
        )
        daughters.append(
            Cell(
                label=next_label + (side > 0),
                nucleus=fresh,
                angle=mother.angle,
                radius=mother.radius * 0.85,
                parent=mother.label,
                born=frame,
                heading=side,
            )
        )
    return daughters


def move(rng: np.random.Generator, cells: list[Cell], frame: int, extent: Floats) -> None:
    """Let cells wander, push touching ones apart and keep them in the field."""
    for cell in cells:
        step = rng.normal(0, 0.28, 2)
        age = frame - cell.born
        if age in (1, 2):
            stride = (SEPARATION[age] - SEPARATION[age - 1]) * cell.radius
            step += cell.heading * stride * rotation_by(cell.angle, 2)[0]
        if age > 2 and frame < cell.divides - 1:
            cell.angle += float(rng.normal(0, 0.06))
            cell.radius = min(cell.radius * 1.012, 4.9)
        margin = 0.8 * cell.radius
        centre = np.clip(cell.nucleus.centre + step, margin, extent - margin)
        cell.nucleus = replace(cell.nucleus, centre=centre)
    for index, first in enumerate(cells):
        for second in cells[index + 1 :]:
            gap = second.nucleus.centre - first.nucleus.centre
            distance = float(np.linalg.norm(gap))
            overlap = 0.98 * (first.radius + second.radius) - distance
            sisters = first.parent == second.parent != 0 and frame - first.born < 3
            if overlap > 0 and not sisters:
                push = 0.5 * overlap * gap / max(distance, 1e-6)
                first.nucleus = replace(first.nucleus, centre=first.nucleus.centre - push)
                second.nucleus = replace(
                    second.nucleus, centre=second.nucleus.centre + push
                )


def divisions(
    seed: int = 13, frames: int = 20, size: int = 176, count: int = 13
) -> tuple[NDArray[np.uint16], Labels, list[Track]]:
    """Dividing nuclei, widefield, 0.4 um pixels, 5 min a frame: image, truth (TYX), tracks.

    The mother keeps its label up to metaphase; from anaphase on there are two daughters.
    """
    rng = np.random.default_rng(seed)
    shape, spacing = (size, size), np.array([0.4, 0.4])
    extent = np.array(shape) * spacing
    start = scatter(rng, count, shape, spacing, ((4.2, 5.0), (4.2, 5.0)), 150, 0.3)
    cells = [
        Cell(label, nucleus, rng.uniform(0, math.pi), float(nucleus.semi_axes.mean()))
        for label, nucleus in enumerate(start, start=1)
    ]
    dividing = rng.permutation(len(cells))[:4]
    for order, position in enumerate(dividing):
        cells[position].divides = 4 + 4 * order
    light = background(rng, shape, spacing, 22)
    images, truths = [], []
    lives: dict[int, Track] = {}
    next_label = len(cells) + 1
    for frame in range(frames):
        if frame:
            move(rng, cells, frame, extent)
        for mother in [cell for cell in cells if cell.divides == frame]:
            cells.remove(mother)
            cells += divide(rng, mother, frame, next_label)
            next_label += 2
        photons, drawn = draw(
            [cell.seen_at(frame) for cell in cells], shape, spacing, widefield=True
        )
        names = np.array([0, *(cell.label for cell in cells)], np.uint16)
        truth = names[drawn]
        # Bleaching: the light fades by a quarter over the series.
        seen = optics(photons, spacing, (0.4, 0.4), 0.2) * (1 - 0.25 * frame / frames)
        images.append(camera(rng, seen + light, 5.0))
        truths.append(truth)
        for cell in cells:
            if (truth == cell.label).any():
                known = lives.get(cell.label, Track(cell.label, frame, frame, cell.parent))
                lives[cell.label] = replace(known, last=frame)
    return np.stack(images), np.stack(truths), [lives[label] for label in sorted(lives)]


def write_tiff(
    path: Path,
    data: NDArray[np.uint16],
    axes: str,
    pixel: float,
    *,
    z_step: float | None = None,
    frame_seconds: float | None = None,
) -> None:
    """Write an ImageJ TIFF, zlib-compressed, calibrated in micrometres and seconds."""
    metadata: dict[str, object] = {"axes": axes, "unit": "um"}
    metadata["min"], metadata["max"] = float(data.min()), float(data.max())
    if z_step is not None:
        metadata["spacing"] = z_step
    if frame_seconds is not None:
        metadata["finterval"] = frame_seconds
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=(1 / pixel, 1 / pixel),
        metadata=metadata,
        compression="zlib",
        compressionargs={"level": 9},
    )


def write_samples(folder: Path) -> None:
    """Write every simulated sample with its truth into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    plane, plane_truth = nuclei_2d()
    write_tiff(folder / "nuclei_2d.tif", plane, "YX", 0.325)
    write_tiff(folder / "nuclei_2d_truth.tif", plane_truth, "YX", 0.325)
    stack, stack_truth = nuclei_3d()
    write_tiff(folder / "nuclei_3d.tif", stack, "ZYX", 0.25, z_step=1.0)
    write_tiff(folder / "nuclei_3d_truth.tif", stack_truth, "ZYX", 0.25, z_step=1.0)
    film, film_truth, tracks = divisions()
    write_tiff(folder / "divisions.tif", film, "TYX", 0.4, frame_seconds=300.0)
    write_tiff(folder / "divisions_truth.tif", film_truth, "TYX", 0.4, frame_seconds=300.0)
    with (folder / "divisions_tracks.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("label", "first", "last", "parent"))
        writer.writerows((t.label, t.first, t.last, t.parent) for t in tracks)


def main() -> None:
    """Parse the command line and write the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SAMPLE_FOLDER, help="target folder")
    write_samples(parser.parse_args().out)


if __name__ == "__main__":
    main()
