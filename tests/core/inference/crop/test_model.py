"""The crop-wise model: where it looks, and what it hands on."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.random_focus import bright_focus, random_focus

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.crop.looking import Seen
from napari_cellprompt.core.inference.crop.model import CropModel
from napari_cellprompt.core.inference.crops import Crop
from napari_cellprompt.core.inference.model import Query
from napari_cellprompt.core.inference.opening import open_model
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import FoundObject
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import CroppedMask, Prompts


@pytest.fixture(scope="module")
def model() -> CropModel:
    return CropModel(bright_focus())


def disks(
    shape: tuple[int, int], places: list[tuple[int, int, int]], dtype: str = "uint16"
) -> np.ndarray:
    """Bright disks ``x, y, radius`` on dark ground, with a little noise."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    noise = np.random.default_rng(0).normal(0, 3, shape)
    image = np.full(shape, 1000.0) + noise
    for x, y, radius in places:
        image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] += 200
    return image.astype(dtype)


def source(image: np.ndarray, **options: object) -> PlaneSource:
    return PlaneSource.from_image(image, (0, 65535), **options)


def click(x: float, y: float) -> Prompts:
    return Prompts(points=((x, y),), labels=(1,))


def iou(mask: CroppedMask, truth: np.ndarray) -> float:
    full = mask.to_plane()
    return float((full & truth).sum() / (full | truth).sum())


@pytest.mark.parametrize("radius", [5, 16, 60, 200, 420])
def test_a_click_finds_objects_of_any_size(model: CropModel, radius: int) -> None:
    image = disks((1200, 1300), [(600, 580, radius)])
    truth = image > 1100
    [answer] = model.ask(source(image), [Query(click(600, 580))])
    best = answer.prediction.best
    assert iou(best.mask, truth) > 0.85
    assert answer.prediction.object_score > 0.9
    # the second look shows it at 0.4 of its crop
    assert answer.prediction.tile.size == pytest.approx(2 * radius / 0.4, rel=0.35)


def test_contrast_limits_of_the_layer_hide_nothing(model: CropModel) -> None:
    image = disks((300, 300), [(150, 150, 20)])
    wide = PlaneSource.from_image(image, (0, 65535), image_id="a")
    clipped = PlaneSource.from_image(image, (5000, 6000), image_id="a")
    answers = [model.ask(plane, [Query(click(150, 150))])[0] for plane in (wide, clipped)]
    first, second = (answer.prediction.best.mask.to_plane() for answer in answers)
    assert np.array_equal(first, second)
    assert iou(answers[0].prediction.best.mask, image > 1100) > 0.9


@pytest.mark.parametrize(("prompt", "counts"), [("box", [1]), ("mask", [1])])
def test_a_known_extent_takes_no_search(
    model: CropModel, prompt: str, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = disks((400, 400), [(200, 150, 25), (300, 300, 25)])
    truth = image > 1100
    truth[250:] = False
    asked = {
        "box": Prompts(box=(175, 125, 226, 176)),
        "mask": Prompts(mask=encode(np.roll(truth, 4, axis=1))),
    }[prompt]
    looks = count_looks(model, monkeypatch)
    [answer] = model.ask(source(image), [Query(asked)])
    assert looks == counts
    assert iou(answer.prediction.best.mask, truth) > 0.9


def test_a_size_that_fits_saves_looks_and_a_wrong_one_does_no_harm(
    model: CropModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = disks((500, 500), [(250, 250, 30)])
    looks = count_looks(model, monkeypatch)
    [fits] = model.ask(source(image), [Query(click(250, 250), 60.0)])
    assert looks == [1, 1]
    [wrong] = model.ask(source(image), [Query(click(250, 250), 6.0)])
    for answer in (fits, wrong):
        assert iou(answer.prediction.best.mask, image > 1100) > 0.9


def count_looks(model: CropModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    looks: list[int] = []
    look = model.looker.look

    def counting(plane, asks, cancelled=None):
        looks.append(len(asks))
        return look(plane, asks, cancelled)

    monkeypatch.setattr(model.looker, "look", counting)
    return looks


def test_a_correction_gets_the_answer_before(model: CropModel) -> None:
    image = disks((300, 300), [(100, 150, 20), (170, 150, 20)])
    plane = source(image)
    [first] = model.ask(plane, [Query(click(100, 150))])
    assert isinstance(first.state, Seen)
    assert first.nbytes == first.state.logits.nbytes
    both = Prompts(points=((100, 150), (170, 150)), labels=(1, 1))
    [second] = model.ask(plane, [Query(both, None, first)])
    assert iou(second.prediction.best.mask, image > 1100) > 0.9
    assert second.prediction.tile.holds(100, 150) and second.prediction.tile.holds(170, 150)


def test_a_correction_of_an_empty_answer_looks_there_again(model: CropModel) -> None:
    image = disks((300, 300), [(150, 150, 20)])
    plane = source(image)
    [first] = model.ask(plane, [Query(click(150, 150))])
    nowhere = Crop(0, 0, 120, 128)
    nothing = replace(first, state=Seen(nowhere, np.full((128, 128), -4.0), 0.1, 0.1))
    more = Prompts(points=((20, 20), (150, 150)), labels=(1, 1))
    [answer] = model.ask(plane, [Query(more, None, nothing)])
    assert iou(answer.prediction.best.mask, image > 1100) > 0.9


def test_many_objects_are_answered_as_each_by_itself(model: CropModel) -> None:
    places = [(60 + 100 * i, 60 + 100 * j, 15 + 3 * i) for i in range(5) for j in range(4)]
    plane = source(disks((460, 560), places))
    queries = [Query(click(x, y)) for x, y, _ in places[:4]]
    queries += [
        Query(Prompts(box=(x - r, y - r, x + r + 1, y + r + 1))) for x, y, r in places[4:]
    ]
    together = model.ask(plane, queries)
    for query, answer in zip(queries, together, strict=True):
        [alone] = model.ask(plane, [query])
        assert np.array_equal(
            alone.prediction.best.mask.to_plane(), answer.prediction.best.mask.to_plane()
        )


def test_other_zooms_are_offered_as_alternatives() -> None:
    """A spot within a cell: the cell and the spot are both there for N."""
    image = disks((300, 300), [(150, 150, 60)]).astype(np.float32)
    image[140:161, 140:161] += 150
    [answer] = CropModel(bright_focus()).ask(
        PlaneSource.from_image(image, (0, 4000)), [Query(click(150, 150))]
    )
    areas = [item.mask.area for item in answer.prediction.candidates]
    assert 1 < len(areas) <= 3
    assert min(areas) < 700 < max(areas)


def test_what_is_shown_is_what_the_network_got(
    model: CropModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = disks((200, 220), [(4, 5, 12)])  # its crop reaches beyond the plane
    plane = source(image)
    given = []
    run = model.looker.run

    def keeping(pictures, prompts, **options):
        given.append(pictures)
        return run(pictures, prompts, **options)

    monkeypatch.setattr(model.looker, "run", keeping)
    [answer] = model.ask(plane, [Query(click(4, 5))])
    tile = answer.prediction.tile
    assert tile.x0 < 0 and tile.y0 < 0
    shown = model.show(plane, tile)
    assert shown.tile == tile
    network = given[-1][0].permute(1, 2, 0).numpy()
    expected = np.clip(np.rint(network * 255), 0, 255).astype(np.uint8)
    assert np.array_equal(shown.pixels, expected)
    first = model.show(plane, Prompts(box=(0, 0, 17, 18)))
    assert first.pixels.shape == (128, 128, 3)


class Lazy:
    """A plane too large for memory that tells what was read of it."""

    shape = (200_000, 300_000)
    dtype = np.dtype(np.uint16)

    def __init__(self) -> None:
        self.largest = 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(item.start, item.stop) for item in key)
        self.largest = max(self.largest, len(rows) * len(columns))
        away = np.hypot(rows[:, None] - 120_000, columns[None, :] - 250_000)
        return np.where(away < 20, 3000, 1000).astype(np.uint16)


def test_of_a_huge_plane_only_the_surroundings_are_read(model: CropModel) -> None:
    data = Lazy()
    plane = PlaneSource(data, axes=(0, 1), limits=(0, 4000), image_id="huge")
    [answer] = model.ask(plane, [Query(click(250_000, 120_000))])
    box = answer.prediction.best.mask.box
    assert box is not None
    assert abs(box[0] - 249_980) < 4 and abs(box[3] - 120_020) < 4
    assert answer.prediction.best.logits.size < 10_000
    assert data.largest <= 2**22


@pytest.mark.parametrize("kind", ["rgb", "float with nan", "bool"])
def test_images_of_any_kind(model: CropModel, kind: str) -> None:
    image = disks((260, 300), [(150, 130, 25)])
    truth = image > 1100
    if kind == "rgb":
        image = np.repeat((truth * 200).astype(np.uint8)[..., None], 3, axis=2)
    elif kind == "bool":
        image = truth
    else:
        image = image.astype(np.float32) / 1e6
        image[5:20, 5:20] = np.nan
    [answer] = model.ask(PlaneSource.from_image(image), [Query(click(150, 130))])
    assert iou(answer.prediction.best.mask, truth) > 0.9


def test_cancelling(model: CropModel) -> None:
    plane = source(disks((200, 200), [(100, 100, 20)]))
    with pytest.raises(CancelledError):
        model.ask(plane, [Query(click(100, 100))], cancelled=lambda: True)


def test_everything_is_found_at_its_scale(model: CropModel) -> None:
    places = [(40 + 70 * i, 45 + 70 * j, 16) for i in range(6) for j in range(5)]
    image = disks((390, 450), places)
    told: list[tuple[int, int]] = []
    found = model.find(
        source(image),
        SearchSettings(size=33),
        progress=lambda done, all_of: told.append((done, all_of)),
    )
    assert len(found) >= len(places)
    best = {
        place: max(iou(item.mask, around(image, place)) for item in found)
        for place in places
    }
    assert min(best.values()) > 0.85
    assert told[-1][0] == told[-1][1]
    region = model.find(source(image), SearchSettings(size=33), region=(0, 0, 150, 150))
    assert {round(item.point[0] // 70) for item in region} == {0, 1}
    with pytest.raises(CancelledError):
        model.find(source(image), SearchSettings(), cancelled=lambda: True)


def around(image: np.ndarray, place: tuple[int, int, int]) -> np.ndarray:
    x, y, radius = place
    truth = np.zeros(image.shape, bool)
    window = np.s_[y - radius - 2 : y + radius + 3, x - radius - 2 : x + radius + 3]
    truth[window] = image[window] > 1100
    return truth


def test_objects_are_handed_on_as_they_come(model: CropModel) -> None:
    places = [(40 + 70 * i, 45 + 70 * j, 16) for i in range(6) for j in range(5)]
    plane = source(disks((390, 450), places))
    parts: list[list[FoundObject]] = []
    found = model.find(
        plane, SearchSettings(size=33), arrived=lambda some: parts.append(list(some))
    )
    assert len(parts) > 1 and max(map(len, parts)) <= model.dense.together
    assert [item for part in parts for item in part] == found
    seen: list[FoundObject] = []
    with pytest.raises(CancelledError):
        model.find(
            plane,
            SearchSettings(size=33),
            arrived=seen.extend,
            cancelled=lambda: bool(seen),
        )
    assert 0 < len(seen) <= model.dense.together


def test_the_size_of_the_objects_is_found(model: CropModel) -> None:
    places = [(40 + 70 * i, 45 + 70 * j, 16) for i in range(6) for j in range(5)]
    plane = source(disks((390, 450), places))
    found = model.find(plane, SearchSettings())
    sides = [box[2] - box[0] for item in found if (box := item.mask.box) is not None]
    assert 30 <= np.median(sides) <= 36


def test_a_blank_plane_holds_nothing(model: CropModel) -> None:
    plane = source(np.full((300, 300), 7, np.uint16))
    assert model.find(plane, SearchSettings()) == []


def test_the_grid_is_sams(model: CropModel) -> None:
    plane = source(disks((100, 100), []))
    with pytest.raises(PromptError, match="mode auto"):
        model.find(plane, SearchSettings(mode="grid"))


def test_descriptions_tell_objects_apart() -> None:
    model = CropModel(random_focus())
    image = disks((300, 300), [(60, 60, 20), (220, 60, 20)])
    image[200:240, 200:240:4] = 4000
    masks = []
    for y, x in ((40, 40), (40, 200), (200, 200)):
        masks.append(CroppedMask(np.ones((41, 41), bool), (y, x), image.shape))
    described = model.describe(source(image), [(mask, None) for mask in masks], 40)
    assert described.shape == (3, 40 + 112 + 192)
    away = np.linalg.norm(described[:, None] - described[None], axis=2)
    assert away[0, 1] < away[0, 2]
    plane = source(image)
    assert model.remember(plane, [(masks[0], None)], 40) == [None]
    with pytest.raises(ValueError, match="no memories"):
        model.recognise(plane, [(masks[0], None)], 40, [])


def test_the_engine_asks_it_click_by_click() -> None:
    loaded = bright_focus()
    model = open_model(loaded)
    assert isinstance(model, CropModel)
    assert model.name == "cellprompt-focus" and model.device == "cpu"
    assert len(model.fingerprint) == 32
    segmenter = PlaneSegmenter(loaded)
    plane = source(disks((300, 300), [(100, 150, 20), (170, 150, 20)]))
    segmenter.prepare(plane, (100, 150))
    prompts = Prompts(points=((100, 150), (170, 150)), labels=(1, 1))
    prediction = segmenter.predict(plane, prompts)
    assert prediction.best.mask.area == pytest.approx(2 * np.pi * 400, rel=0.08)
    assert Path(loaded.source).name == "bright.safetensors"
