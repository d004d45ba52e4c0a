"""What benchmarks write for the page of figures is what the page can show."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load(name: str, folder: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The pages, made of the history in an empty folder."""
    module = load("generate", "docs")
    monkeypatch.setattr(module, "HISTORY", tmp_path)
    return module


def test_a_run_that_is_recorded_is_on_the_page(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = load("history", "benchmarks")
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks/video_speed.py", "--quick"])
    path = history.record("video_speed", [{"what": "some | arithmetic", "ratio": 0.5}])
    page = generate.figures_page()
    assert "| some \\| arithmetic | 0.5 |" in page
    assert "`python benchmarks/video_speed.py --quick`" in page
    assert json.loads(path.read_text())["date"] in page
    assert "## Everything without prompts" not in page


def test_names_are_those_of_people_and_the_command_is_that_of_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = load("history", "benchmarks")
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    given = ["/x/benchmarks/quality.py", "--limit", "6", "--record", "--out", "/y/q"]
    monkeypatch.setattr(sys, "argv", given)
    path = history.record("quality", [{"images": "val: stained", "click": 0.5}])
    run = json.loads(path.read_text())
    assert run["command"] == "python benchmarks/quality.py --limit 6"
    assert run["rows"] == [{"images": "nuclei in stained tissue (DSB 2018)", "click": 0.5}]


def test_the_newest_run_is_shown(generate: ModuleType, tmp_path: Path) -> None:
    run: dict[str, Any] = {
        "name": "speed",
        "command": "python benchmarks/speed.py",
        "date": "2026-01-01",
        "version": "1",
        "machine": {"processor": "p", "cores": 2, "threads": 1},
    }
    for day, seconds in (("2026-01-02", 2.5), ("2026-01-01", 1.5)):
        run["rows"] = [{"what": "click", "focus_s": seconds}]
        (tmp_path / f"speed_{day}_000000.json").write_text(json.dumps(run))
    assert "2.5" in generate.figures_page()
    assert "1.5" not in generate.figures_page()


def test_the_table_of_the_readme_needs_its_files(generate: ModuleType) -> None:
    with pytest.raises(FileNotFoundError, match="README"):
        generate.readme_table()
