"""What models of the tasks do: the methods of `LanguageModel` for models that predict labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from charlm.checks import check_value, number_rule
from charlm.errors import ConfigError
from charlm.inference.prepare import prepare_bidirectional
from charlm.nn.bidirectional import Tagger
from charlm.settings import plain
from charlm.stored_model import StoredModel

if TYPE_CHECKING:
    from charlm.tasks.restore import Restored, Restorer

PROBABILITY = number_rule("in [0, 1]", lambda value: 0 <= value <= 1)


class TaskModel(StoredModel):
    """The base class of `LanguageModel`, with the methods of models that predict labels."""

    @cached_property
    def restorer(self) -> Restorer:
        """The model, prepared for restoring text; ConfigError if it is of another task."""
        from charlm.tasks.restore import Restorer

        if self.text.task != "restore" or not isinstance(self.network, Tagger):
            raise ConfigError(f"restoring needs a model of the task 'restore'; {self.task.for_commands()}")
        network = prepare_bidirectional(self.network, self.members)
        return Restorer(network, self.vocabulary, self.labels, self.text)

    def restore(self, text: str, *, min_probability: float = 0.0) -> str:
        """Return a text with what the model was trained to restore, such as its marks.

        Stripping the result gives the stripped text: nothing else changes.

        Parameters
        ----------
        text : str
            Any text.
        min_probability : float, default 0
            A change with a lower probability is not made.
        """
        return "".join(part.text for part in self.restore_each([text], min_probability=min_probability))

    def restore_each(self, chunks: Iterable[str], *, min_probability: float = 0.0) -> Iterator[Restored]:
        """Yield a text of any length part by part, with the changes in it; see `restore`."""
        check_value("min_probability", plain(min_probability), PROBABILITY)
        return self.restorer.restore(chunks, plain(min_probability))
