"""Whether a text is a list of names or words, one a line, which a model learns better line by line."""

from __future__ import annotations

import unicodedata

from charlm.text.corpus import Corpus
from charlm.text.tuning import DEFAULT_TUNING, TextTuning


def is_list(corpus: Corpus, tuning: TextTuning = DEFAULT_TUNING) -> bool:
    """Return whether nearly all lines at the start of a corpus of running text are items of a list."""
    text = corpus.vocabulary.decode(corpus.train_ids[: tuning.list_ids])
    *lines, _ = text.split("\n")  # the last line may be incomplete
    n_items = sum(is_item(line, tuning) for line in lines)
    return n_items >= max(tuning.min_items, tuning.min_item_rate * len(lines))


def is_item(line: str, tuning: TextTuning = DEFAULT_TUNING) -> bool:
    """Return whether a line is like an item of a list: a few words, without indentation and final punctuation.

    Lines of verse and code are short, too, but they have more words, are indented, or end in a comma or a semicolon.
    """
    return (
        0 < len(line.strip()) <= tuning.max_item_characters
        and len(line.split()) <= tuning.max_item_words
        and not line[0].isspace()
        and unicodedata.category(line.rstrip()[-1]) != "Po"
    )
