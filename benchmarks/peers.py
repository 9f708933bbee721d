"""The same models in PyTorch, each in its best form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], int]


class TorchModel:
    """nn.LSTM, GRU or RNN with a linear head.

    embedding: whether ids go through an nn.Embedding of the hidden size, rather than in as one-hot vectors.
    """

    def __init__(self, cell: str, vocabulary: int, hidden: int, layers: int, embedding: bool = False) -> None:
        import torch

        self.torch = torch
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
        self.embedding = torch.nn.Embedding(vocabulary, hidden) if embedding else None
        self.one_hot = torch.eye(vocabulary)
        self.rnn = kind(hidden if embedding else vocabulary, hidden, layers)
        self.head = torch.nn.Linear(hidden, vocabulary)
        modules = [self.rnn, self.head, *([self.embedding] if self.embedding else [])]
        self.parameters = [p for module in modules for p in module.parameters()]

    def enter(self, ids: Any) -> Any:
        """Return the input vectors of ids (T, B)."""
        return self.one_hot[ids] if self.embedding is None else self.embedding(ids)

    def training_step(self, streams: np.ndarray, steps: int) -> Step:
        """Return a step of truncated back-propagation over streams (N, B): fused Adam, clipped gradients."""
        torch = self.torch
        optimizer = torch.optim.Adam(self.parameters, 1e-3, fused=True)
        data = torch.from_numpy(streams.astype(np.int64))
        places = iter_windows(len(data), steps)
        state: Any = None

        def step() -> int:
            nonlocal state
            at = next(places)
            outputs, state = self.rnn(self.enter(data[at : at + steps]), state)
            state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            logits = self.head(outputs).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, data[at + 1 : at + steps + 1].flatten())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            return steps * data.shape[1]

        return step

    def sampling_step(self, streams: int) -> Step:
        """Return a step that draws one character in each stream."""
        torch = self.torch
        ids = torch.zeros(1, streams, dtype=torch.int64)
        state: Any = None

        def step() -> int:
            nonlocal ids, state
            with torch.inference_mode():
                outputs, state = self.rnn(self.enter(ids), state)
                probabilities = torch.softmax(self.head(outputs[0]), -1)
                ids = torch.multinomial(probabilities, 1).T
            return streams

        return step


def iter_windows(length: int, steps: int) -> Any:
    """Yield the starts of windows, for ever."""
    while True:
        yield from range(0, length - steps - 1, steps)
