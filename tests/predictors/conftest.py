from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def present(model):
    from tests.teaching import make_present

    return make_present(model)
