"""Fixtures that several parts of the tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.leaks import no_leaks, pytest_terminal_summary

from napari_cellprompt.core.zoo.registry import DrawingSpec

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

__all__ = ["no_leaks", "pytest_terminal_summary"]


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
