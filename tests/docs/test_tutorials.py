"""The notebooks of the site run from the first cell to the last, and tell what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.interpreters import SOURCE

ROOT = Path(__file__).parents[2]
LEAST = {
    "segment": ("mean_iou", 0.8),
    "everything": ("precision", 0.6),
    "propagate": ("mean_iou", 0.5),
    "fewshot": ("precision", 0.4),
}
"""For each notebook, a number that it computes, and how high that is at the least."""


def test_there_is_one_for_each_verb() -> None:
    stems = {path.stem for path in (ROOT / "docs" / "tutorials").glob("*.ipynb")}
    assert stems == set(LEAST)


@pytest.mark.parametrize("name", sorted(LEAST))
def test_outputs_are_kept_and_hold_no_error(name: str) -> None:
    nbformat = pytest.importorskip("nbformat")
    path = ROOT / "docs" / "tutorials" / f"{name}.ipynb"
    notebook = nbformat.read(path, 4)
    kinds = [out.output_type for cell in notebook.cells for out in cell.get("outputs", ())]
    assert "error" not in kinds
    assert {"stream", "display_data"} <= set(kinds)
    # pictures of a page of the site, not of a paper
    assert path.stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")
@pytest.mark.parametrize("name", sorted(LEAST))
def test_a_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv(
        "PYTHONPATH", f"{SOURCE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    )
    notebook = nbformat.read(ROOT / "docs" / "tutorials" / f"{name}.ipynb", 4)
    quantity, least = LEAST[name]
    notebook.cells.append(nbformat.v4.new_code_cell(f"print('measured', {quantity})"))
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": tmp_path}},
    )
    client.execute()
    said = notebook.cells[-1].outputs[0].text.split()
    assert said[0] == "measured"
    assert float(said[1]) > least
