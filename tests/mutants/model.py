"""Faults of what a model chooses by its text and its training."""

from __future__ import annotations

from tests.mutants.fault import Fault

FAULTS = (
    Fault(
        "a model of one running text may end a text by EOS",
        "charlm/model.py",
        "has_seen_ends = self.text.lines or len(self.training.sources) != 1",
        "has_seen_ends = True",
        ("tests/test_model.py::test_sample_ends_only_if_the_model_learned_ends",),
    ),
    Fault(
        "a newline is UNK in a model of lines",
        "charlm/model.py",
        "LineVocabulary(vocabulary.tokens, vocabulary.unit) if text.lines else vocabulary",
        "vocabulary",
        ("tests/test_model.py::test_newline_in_a_model_of_lines_ends_a_line",),
    ),
)
