"""Language modelling: the next token at each position, or each token given all others (`bidirectional`)."""

from __future__ import annotations

from charlm.config import TextConfig
from charlm.tasks.task import Task


class Language(Task):
    """A language model has no labels. It predicts the tokens that it reads."""

    does = "predicts text"
    commands = ("sample", "score")

    @property
    def is_labelled(self) -> bool:
        """Whether the network predicts labels: never."""
        return False

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> None:
        """Return None: the text is read as it is."""
