"""charlm: a character-level language model for the command line, on NumPy.

    model = charlm.train("corpus.txt", minutes=2)
    model.sample("ROMEO:", length=200)
    model.score("To be, or not to be").bits_per_char

Names are imported when they are first used: `import charlm` alone loads no NumPy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from charlm import errors
from charlm.version import __version__

if TYPE_CHECKING:
    from charlm.checkpoint import TrainingRecord
    from charlm.config import EngineConfig, NetworkConfig, SampleConfig, TextConfig, TrainConfig
    from charlm.diagnostics.activations import Activations
    from charlm.diagnostics.cell_ranking import CellScore
    from charlm.diagnostics.saliency import Saliency
    from charlm.errors import CharlmError
    from charlm.mixture import Mixture
    from charlm.model import LanguageModel, load
    from charlm.runs.api import train
    from charlm.sampling.sampler import Sample
    from charlm.scoring.continuations import Continuation, Next
    from charlm.scoring.ranking import Classification, classify, rank
    from charlm.scoring.score import CharScore, Score
    from charlm.text.copies import Copies, Copy, copies
    from charlm.text.copy_index import CopyIndex

_HOMES = {
    "Activations": "charlm.diagnostics.activations",
    "CellScore": "charlm.diagnostics.cell_ranking",
    "CharScore": "charlm.scoring.score",
    "CharlmError": "charlm.errors",
    "Classification": "charlm.scoring.ranking",
    "Continuation": "charlm.scoring.continuations",
    "Copies": "charlm.text.copies",
    "Copy": "charlm.text.copies",
    "CopyIndex": "charlm.text.copy_index",
    "EngineConfig": "charlm.config",
    "LanguageModel": "charlm.model",
    "Mixture": "charlm.mixture",
    "NetworkConfig": "charlm.config",
    "Next": "charlm.scoring.continuations",
    "Saliency": "charlm.diagnostics.saliency",
    "Sample": "charlm.sampling.sampler",
    "SampleConfig": "charlm.config",
    "Score": "charlm.scoring.score",
    "TextConfig": "charlm.config",
    "TrainConfig": "charlm.config",
    "TrainingRecord": "charlm.checkpoint",
    "classify": "charlm.scoring.ranking",
    "copies": "charlm.text.copies",
    "load": "charlm.model",
    "rank": "charlm.scoring.ranking",
    "train": "charlm.runs.api",
}

__all__ = [
    "Activations",
    "CellScore",
    "CharScore",
    "CharlmError",
    "Classification",
    "Continuation",
    "Copies",
    "Copy",
    "CopyIndex",
    "EngineConfig",
    "LanguageModel",
    "Mixture",
    "NetworkConfig",
    "Next",
    "Saliency",
    "Sample",
    "SampleConfig",
    "Score",
    "TextConfig",
    "TrainConfig",
    "TrainingRecord",
    "__version__",
    "classify",
    "copies",
    "errors",
    "load",
    "rank",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        # Python adds the most similar name to the traceback
        raise AttributeError(f"module 'charlm' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__") and name not in __all__)]
