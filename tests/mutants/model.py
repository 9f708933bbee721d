"""Faults of what a model chooses by its text and its training."""

from __future__ import annotations

from tests.mutants.fault import Fault

FAULTS = (
    Fault(
        "a model of one running text may end a text by EOS",
        "charlm/text_model.py",
        "has_seen_ends = self.text.lines or any(len(record.sources) != 1 for record in self.training_records)",
        "has_seen_ends = True",
        ("tests/test_model.py::test_sample_ends_only_if_the_model_learned_ends",),
    ),
    Fault(
        "a newline is UNK in a model of lines",
        "charlm/stored_model.py",
        "LineVocabulary(vocabulary.tokens, vocabulary.unit) if text.lines else vocabulary",
        "vocabulary",
        ("tests/test_model.py::test_newline_in_a_model_of_lines_ends_a_line",),
    ),
    Fault(
        "keywords of the text are ignored",
        "charlm/runs/api.py",
        "text = replace(text, **take(settings, TextConfig))",
        "take(settings, TextConfig)",
        ("tests/test_api.py::test_settings_of_the_text_are_keywords_and_override_a_config",),
    ),
    Fault(
        "progress goes to the log alone",
        "charlm/runs/api.py",
        "screen = import_module(PROGRESS) if progress else None",
        "screen = None",
        ("tests/test_api.py::test_progress_goes_to_stderr",),
    ),
    Fault(
        "the views of copied parameters are copies",
        "charlm/nn/layout.py",
        "def __reduce__(",
        "def reduce(",
        ("tests/test_model.py", "-k", "copied_model"),
    ),
    Fault(
        "a pickled model holds its prepared weights, too",
        "charlm/stored_model.py",
        "if name not in CACHES",
        "if name",
        ("tests/test_model.py::test_pickled_model_is_as_large_as_its_weights",),
    ),
    Fault(
        "characters of a heat map are not escaped",
        "charlm/scoring/heat_map.py",
        "{title}>{escape(text)}</span>",
        "{title}>{text}</span>",
        ("tests/scoring/test_heat_map.py::test_characters_are_escaped",),
    ),
    Fault(
        "an abbreviated setting is not recognised",
        "charlm/checks.py",
        "next(iter(starts or get_close_matches(wrong, names, 1)), None)",
        "next(iter(get_close_matches(wrong, names, 1)), None)",
        ("tests/test_api.py::test_wrong_argument_of_train_is_explained",),
    ),
)
