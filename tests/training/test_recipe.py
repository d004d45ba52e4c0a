"""The whole recipe as one command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

import recipe

WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('done')"


def plan(**changes):
    options = {"device": "cuda", "image_minutes": 3, "memory_minutes": 2, "seeds": 2}
    return recipe.commands(Path("runs"), **(options | {"to": None} | changes))


def test_each_part_starts_from_the_mean_of_the_one_before():
    images, memories, (export,) = plan()
    checkpoints = [str(Path("runs") / f"image_{n}" / "checkpoint.pt") for n in range(2)]
    for number, words in enumerate(memories):
        assert words[words.index("--start-from") + 1 :] == checkpoints
        assert words[words.index("--seed") + 1] == str(number)
    outs = [words[words.index("--out") + 1] for words in images + memories]
    assert len(set(outs)) == 4
    assert {str(Path(name).parent) for name in checkpoints} == set(outs[:2])
    after = export.index("--after")
    assert export[after + 1 :] == outs[:2] and set(outs[2:]) < set(export[:after])


def test_device_and_minutes_reach_the_runs():
    images, memories, (export,) = plan(to=Path("here.safetensors"))
    for words, minutes in ((images[0], "3"), (memories[1], "2")):
        assert words[words.index("--device") + 1] == "cuda"
        assert words[words.index("--minutes") + 1] == minutes
    assert export[-2:] == ["--to", "here.safetensors"]


def test_the_runs_understand_what_they_are_told(monkeypatch):
    import memory
    import train

    seen = []

    class Run:
        def __init__(self, options):
            seen.append((options.device, options.seed, options.minutes))

        def train(self):
            pass

    images, memories, _ = plan()
    for module, words in ((train, images[1]), (memory, memories[1])):
        monkeypatch.setattr(module, "Run", Run)
        monkeypatch.setattr(sys, "argv", words[1:])
        module.main()
    assert seen == [("cuda", 1, 3.0), ("cuda", 1, 2.0)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_failure_is_told_after_all_have_ended(tmp_path, at_once):
    group = [
        [sys.executable, "-c", WRITE, str(tmp_path / "first")],
        [sys.executable, "-c", "raise SystemExit(3)"],
        [sys.executable, "-c", WRITE, str(tmp_path / "last")],
    ]
    with pytest.raises(SystemExit) as stopped:
        recipe.run_together(group, at_once)
    assert stopped.value.code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "last"]
    recipe.run_together(group[:1], at_once)


def test_nothing_is_exported_where_training_failed(monkeypatch, tmp_path):
    ran = []

    def call(words):
        ran.append(Path(words[1]).name)
        return 1 if ran[-1] == "memory.py" else 0

    monkeypatch.setattr(recipe.subprocess, "call", call)
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--out", str(tmp_path), "--seeds", "1"])
    with pytest.raises(SystemExit):
        recipe.main()
    assert ran == ["train.py", "memory.py"]
