"""What a model shows of its inside: activations, gates, gradients, saliency, and what its cells represent."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from charlm.arrays import Ids
from charlm.checkpoint import printable
from charlm.checks import COUNT, check_value, integer_rule
from charlm.errors import ConfigError
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.settings import plain
from charlm.stored_model import MAX_NAME, StoredModel

if TYPE_CHECKING:  # `charlm score` starts faster without this package
    from charlm.diagnostics.activations import Activations
    from charlm.diagnostics.cell_ranking import CellScore
    from charlm.diagnostics.gradient_flow import GradientFlow
    from charlm.diagnostics.saliency import Saliency


class InspectedModel(StoredModel):
    """A base class of `LanguageModel`, which describes the parameters. Its methods inspect one member of a mixture."""

    def _repr_html_(self) -> str:
        """Return a table of the network, its training and its vocabulary, for notebooks."""
        record, unit, count = self.training, self.text.unit, len(self.members)
        size = f"{count * self.network.size:,} parameters"
        loss = record.valid_loss
        rows = {
            "network": f"{count} x {self.config}, {size}" if count > 1 else f"{self.config}, {size}",
            "trained on": ", ".join(printable(source, MAX_NAME) for source in record.sources),
            "training": f"{record.steps:,} steps" if record.steps else "",
            "held-out loss": "" if loss is None else f"{loss:.3f} nats/{unit}, {loss / math.log(2):.3f} bits/{unit}",
            "vocabulary": f"{len(self.vocabulary):,} {'characters' if unit == 'char' else 'words'}",
        }
        cells = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows.items() if text)
        return f"<table><caption>charlm {type(self).__name__}</caption>{cells}</table>"

    def activations(self, text: str, *, member: int = 0) -> Activations:
        """Return the state and the gates of every cell after every character of a text.

        Parameters
        ----------
        text : str
            The text; EOS is read before it.
        member : int, default 0
            Member of a mixture, counted from 0.

        Returns
        -------
        Activations
            `states["h"]`, `cells` and the others are arrays (L, N, H): layers, characters, cells.

        Raises
        ------
        ConfigError
            If the model is bidirectional.
        """
        from charlm.diagnostics.activations import read_activations

        network, params = self.inspected(member)
        text = self.clean(text)
        return read_activations(network, params, self.ids_of(text), tuple(self.vocabulary.split(text)))

    def saliency(self, text: str, index: int, *, member: int = 0) -> Saliency:
        """Return how the log-probability of the character at an index depends on each character before it.

        Parameters
        ----------
        text : str
            The text; EOS is read before it.
        index : int
            Index of the character, or of the word of a model of words; from 0.
        member : int, default 0
            Member of a mixture, counted from 0.

        Returns
        -------
        Saliency
            `values`, (index,), is gradient x input of each character before it, in nats.

        Raises
        ------
        ConfigError
            If the model is bidirectional, or there is no character at the index.
        """
        from charlm.diagnostics.saliency import Saliency, measure_saliency

        network, params = self.inspected(member)
        tokens = tuple(self.vocabulary.split(self.clean(text)))
        if not tokens:
            raise ConfigError("`text` is empty; pass one with a character at `index`")
        check_value("index", plain(index), integer_rule(0, len(tokens) - 1))
        targets = np.array([index + 1])
        nearest_first = measure_saliency(network, params, self.ids_of(self.clean(text)), targets, back=index + 1)[0]
        return Saliency(tokens[: index + 1], nearest_first[:-1][::-1], float(nearest_first[-1]))

    def cells(self, text: str, *, best: int = 3, member: int = 0) -> list[CellScore]:
        """Rank the cells by how well each alone predicts a property of a text, such as "inside quotes".

        Parameters
        ----------
        text : str
            Some thousand characters that the model was not trained on. Cells are chosen on the first half and measured
            again on the second.
        best : int, default 3
            Cells for each property.
        member : int, default 0
            Member of a mixture, counted from 0.

        Returns
        -------
        list of CellScore
            The property whose cell is furthest above what the current character alone predicts comes first. Properties
            that are too rare in the text are left out.

        Raises
        ------
        ConfigError
            If the model is bidirectional.
        """
        from charlm.diagnostics.activations import read_cells
        from charlm.diagnostics.cell_ranking import rank_cells
        from charlm.diagnostics.properties import measure_properties

        check_value("best", plain(best), COUNT)
        network, params = self.inspected(member)
        text = self.clean(text)
        ids, tokens = self.ids_of(text), self.vocabulary.split(text)
        cells = read_cells(network, params, ids)
        return rank_cells(cells, ids[1:], measure_properties(text, tokens), best=plain(best))

    def gradients(self, text: str, *, back: int = 64, places: int = 100, member: int = 0) -> GradientFlow:
        """Measure how the loss at step t depends on the state k steps back, k = 0 to `back`: the mean over `places` t.

        Of a mixture, one `member` is measured, counted from 0. Raises ConfigError if the model is bidirectional.
        """
        from charlm.diagnostics.gradient_flow import encode_text, measure_gradients

        network, params = self.inspected(member)
        ids = encode_text(self.vocabulary, self.clean(text), lines=self.text.lines)
        return measure_gradients(network, params, ids, back=back, places=places)

    def inspected(self, member: int) -> tuple[Network, Parameters]:
        """Return the network and the weights of a member; ConfigError if the model is bidirectional."""
        self.require_language()
        if not isinstance(self.network, Network):
            raise ConfigError("this model reads from both sides; only models of one direction can be inspected")
        check_value("member", plain(member), integer_rule(0, len(self.members) - 1))
        return self.network, self.members[member]

    def ids_of(self, text: str) -> Ids:
        """Return EOS and the ids of a text, (N + 1,)."""
        return np.concatenate([[self.vocabulary.eos], self.vocabulary.encode(text)]).astype(np.intp)
