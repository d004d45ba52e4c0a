from __future__ import annotations

import pytest

from napari_cellprompt.session.zoo import fit_here, model_rows


@pytest.mark.parametrize(
    ("nbytes", "gpu", "text"),
    [
        (10e6, None, "fast"),
        (40e6, None, "about 1 s"),
        (156e6, None, "seconds"),
        (375e6, None, "slow"),
        (156e6, 8e9, "fast"),
        (2.5e9, 6e9, "too large"),
        (None, None, ""),
    ],
)
def test_how_a_model_runs_here(nbytes, gpu, text) -> None:
    found = fit_here(nbytes, gpu)
    assert found.startswith(text) if text else not found


def test_every_published_model_has_a_licence_and_a_fit() -> None:
    rows = {row.name: row for row in model_rows()}
    assert rows["cellprompt-nano"].fit == "fast"
    for row in rows.values():
        if row.url:
            assert row.licence and row.family and row.fit, row.name
