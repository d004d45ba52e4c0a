"""Fixtures that several parts of the tests share."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

# the widget waits for it before it makes its layers; tests look at these at once
import pandas as pd  # noqa: F401
import pytest
from tests.leaks import no_leaks, pytest_terminal_summary

from napari_cellprompt.core.zoo.registry import DrawingSpec

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

__all__ = ["no_leaks", "pytest_terminal_summary"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the imports made out of garbage collection.

    Each window that a test closes is looked for in a full collection or two, which would go
    through half a million objects of napari and torch: a third of the time of such a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_sessions(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never leave sessions beside images, or in the folder of whoever runs the tests."""
    monkeypatch.setenv("CELLPROMPT_SESSIONS", str(tmp_path_factory.mktemp("sessions")))


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    """A small SAM 2 with random weights."""
    # torch is imported only where a test needs a network
    from tests.random_models import random_model

    return random_model()


@pytest.fixture(scope="session")
def drawing_model() -> LoadedModel:
    """The same network, which takes its prompts as a drawing."""
    from tests.random_models import random_model

    return random_model(DrawingSpec(amplitude=16.0, sigma=1.5))
