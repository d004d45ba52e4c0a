from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellprompt.core.errors import PromptError, SaveError
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.io.prompts_json import (
    ObjectPrompts,
    objects_from_json,
    objects_to_json,
    read_prompt_file,
    write_prompt_file,
)

MASK = encode(np.eye(6, dtype=bool))
EXAMPLE: dict[str, Any] = {
    "version": 1,
    "objects": [
        {
            "id": 1,
            "plane": 3,
            "at": {"T": 0},
            "points": [[140.0, 88.5], [20, 30]],
            "labels": [1, 0],
            "box": [120, 70, 165, 110],
        },
        {"id": 1, "plane": 9, "points": [[150, 90]]},
        {"id": 2, "plane": 3, "mask": {"size": [6, 6], "counts": MASK.counts}},
    ],
}


def test_the_documented_example(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(EXAMPLE))
    assert read_prompt_file(path) == [
        ObjectPrompts(
            1,
            3,
            {"T": 0},
            Prompts(((140.0, 88.5), (20.0, 30.0)), (1, 0), (120.0, 70.0, 165.0, 110.0)),
        ),
        ObjectPrompts(1, 9, {}, Prompts(((150.0, 90.0),), (1,))),
        ObjectPrompts(2, 3, {}, Prompts(mask=MASK)),
    ]


def test_files_round_trip(tmp_path: Path) -> None:
    objects = objects_from_json(EXAMPLE)
    path = write_prompt_file(tmp_path / "p.json", objects)
    assert read_prompt_file(path) == objects
    assert [item.name for item in tmp_path.iterdir()] == ["p.json"]


COORDINATE = st.floats(-1e6, 1e6)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 50)),
            st.dictionaries(st.sampled_from("TZC"), st.integers(0, 9)),
            st.lists(st.tuples(COORDINATE, COORDINATE, st.integers(0, 1)), min_size=1),
        ),
        max_size=5,
    )
)
def test_anything_round_trips_through_text(items: list[Any]) -> None:
    objects = [
        ObjectPrompts(
            number,
            plane,
            at,
            Prompts(tuple((x, y) for x, y, _ in points), tuple(p[2] for p in points)),
        )
        for number, (plane, at, points) in enumerate(items, start=1)
    ]
    assert objects_from_json(json.loads(json.dumps(objects_to_json(objects)))) == objects


def test_no_objects_are_no_error() -> None:
    assert objects_from_json({"version": 1, "objects": []}) == []


POINT = {"id": 1, "points": [[1, 2]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, r"objects\[0\] has an unknown key 'colour'; known are id, plane"),
        ({"id": 0}, r"objects\[0\]\.id must be a whole number from 1"),
        ({"id": 2**32}, r"objects\[0\]\.id must be a whole number"),
        ({"id": 1.5}, r"objects\[0\]\.id must be a whole number"),
        ({"id": True}, r"objects\[0\]\.id must be a whole number"),
        ({"plane": -1}, r"objects\[0\]\.plane must be a whole number from 0 up: got -1"),
        ({"plane": "3"}, r"objects\[0\]\.plane must be a whole number"),
        ({"at": {"Q": 1}}, r"objects\[0\]\.at has an unknown key 'Q'"),
        ({"at": {"T": -1}}, r"objects\[0\]\.at\.T must be a whole number"),
        ({"at": [1]}, r"objects\[0\]\.at must be an object"),
        ({"points": [1, 2]}, r"objects\[0\]\.points\[0\] must be 2 finite numbers"),
        ({"points": [[1, 2, 3]]}, r"objects\[0\]\.points\[0\] must be 2 finite numbers"),
        ({"points": [[1, float("nan")]]}, r"points\[0\] must be 2 finite numbers"),
        ({"points": "ab"}, r"objects\[0\]\.points must be a list of pairs"),
        ({"points": []}, r"objects\[0\] has no prompt"),
        ({"labels": [1, 1]}, r"objects\[0\]\.labels must be a list of one value per point"),
        ({"labels": [2]}, r"objects\[0\]\.labels\[0\] must be a whole number from 0 to 1"),
        ({"box": [1, 2, 3]}, r"objects\[0\]\.box must be 4 finite numbers"),
        ({"box": [5, 5, 5, 9]}, r"objects\[0\]\.box must have x0 < x1"),
        ({"mask": {"size": [6], "counts": ""}}, r"objects\[0\]\.mask\.size must be \[rows"),
        ({"mask": {"size": [6, 6], "counts": 7}}, r"mask\.counts must be a COCO"),
        ({"mask": {"size": [6, 7], "counts": MASK.counts}}, r"mask\.counts is damaged"),
        ({"mask": {"size": [6, 6], "rle": ""}}, r"mask has an unknown key 'rle'"),
        ({"strokes": 1}, r"strokes must be a list of objects with a path"),
        ({"strokes": [{"label": 1}]}, r"strokes\[0\]\.path must be a list of pairs"),
        ({"strokes": [{"path": [[1]]}]}, r"path\[0\] must be 2 finite numbers"),
        ({"strokes": [{"path": [[1, 2]], "label": 2}]}, r"label must be a whole number"),
    ],
)
def test_errors_name_file_and_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message) as caught:
        objects_from_json({"version": 1, "objects": [{**POINT, **changes}]}, "p.json")
    assert str(caught.value).startswith("p.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the file must be an object"),
        ({"version": 1, "objects": [], "x": 1}, "the file has an unknown key 'x'"),
        ({"objects": []}, "version must be 1: got null"),
        ({"version": 2, "objects": []}, "version must be 1: got 2"),
        ({"version": True, "objects": []}, "version must be 1: got true"),
        ({"version": 1}, "objects must be a list"),
        ({"version": 1, "objects": [[]]}, r"objects\[0\] must be an object"),
        ({"version": 1, "objects": [{"points": [[1, 2]]}]}, r"objects\[0\] has no id"),
        ({"version": 1, "objects": [POINT, POINT]}, r"objects\[1\] is the same object"),
    ],
)
def test_errors_of_the_whole_file(content: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        objects_from_json(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "p.json is not valid JSON"),
        (b'{"version": 1,', "p.json is not valid JSON"),
        (b"\xff\xfe\x00", "p.json is no text file"),
        (b"[" * 100_000, "p.json"),
    ],
    ids=["empty", "cut short", "binary", "deep"],
)
def test_damaged_files(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(PromptError, match=message):
        read_prompt_file(tmp_path / "p.json")


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(EXAMPLE).encode())
    assert len(read_prompt_file(tmp_path / "p.json")) == 3


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot be read from"):
        read_prompt_file(tmp_path / "p.json")
    with pytest.raises(SaveError, match="does not exist"):
        write_prompt_file(tmp_path / "no" / "p.json", [])


def test_what_is_checked_is_not_changed() -> None:
    content = copy.deepcopy(EXAMPLE)
    objects_from_json(content)
    assert content == EXAMPLE


def test_lines_and_a_mask_with_clicks_come_back() -> None:
    prompts = Prompts(
        points=((1.0, 2.0),),
        labels=(0,),
        mask=MASK,
        strokes=((((1.5, 2.0), (3.0, 4.0)), 1), (((0.0, 0.0), (2.0, 0.0)), 0)),
    )
    [item] = objects_from_json(objects_to_json([ObjectPrompts(1, None, {}, prompts)]))
    assert item.prompts == prompts
