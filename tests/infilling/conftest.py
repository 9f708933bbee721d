"""A model for the tests of infilling."""

from __future__ import annotations

import pytest

import charlm
from charlm.model import LanguageModel
from tests.infilling.tiny import VERSE


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A bidirectional model that knows the verse."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "verse.txt").write_text(VERSE * 30)
    settings = {"hidden": 24, "steps": 200, "batch": 8, "bptt": 40, "dropout": 0.0, "learning_rate": 0.02, "threads": 1}
    return charlm.train(folder / "verse.txt", folder / "m.safetensors", bidirectional=True, **settings)
