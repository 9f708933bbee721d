"""The same networks in PyTorch, in each form that a PyTorch user may choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Step = Callable[[], int]


@dataclass(frozen=True)
class Form:
    """How a network is written in PyTorch. The fastest form depends on the sizes and the processor.

    threads: number of PyTorch threads.  one_dnn: use oneDNN, else the native code of PyTorch.
    cells: a loop over `LSTMCell`, else one call of `LSTM`.
    embedding: an `Embedding` of the hidden size as input, else one-hot vectors.
    compiled: pass the forward pass through `torch.compile`.
    device: of all tensors.
    bfloat16: compute by autocast in bfloat16, else in float32.
    """

    threads: int = 1
    one_dnn: bool = True
    cells: bool = False
    embedding: bool = False
    compiled: bool = False
    device: str = "cpu"
    bfloat16: bool = False

    def __str__(self) -> str:
        """Return the name of the form in tables."""
        words = [
            "cell modules" if self.cells else "one module",
            f"oneDNN {'on' if self.one_dnn else 'off'}",
            f"{self.threads} thread{'s' * (self.threads > 1)}",
            "embedding" if self.embedding else "one-hot",
        ]
        return ", ".join(words + ["compiled"] * self.compiled)

    def apply(self) -> None:
        """Set the process-wide options of PyTorch."""
        import torch

        torch.set_num_threads(self.threads)
        torch.backends.mkldnn.enabled = self.one_dnn


def forms(threads: int, compiled: bool = False) -> list[Form]:
    """Return all forms with one thread and with `threads`; with `compiled`, also the compiled loop over cells.

    A compiled `nn.LSTM` makes the same ATen call, so only the loop over cells can gain.
    """
    counts = sorted({1, threads})
    plain = [Form(*choice) for choice in product(counts, (True, False), (False, True), (False, True))]
    return plain + [Form(count, cells=True, compiled=True) for count in counts if compiled]


class TorchModel:
    """LSTM, GRU or RNN with a linear head.

    params: initial tensors from a model file; only for one-hot input, where the shapes agree.
    """

    def __init__(
        self, cell: str, vocabulary: int, hidden: int, layers: int, form: Form = Form(),
        params: Mapping[str, np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        import torch

        self.torch, self.form = torch, form
        self.embedding = torch.nn.Embedding(vocabulary, hidden) if form.embedding else None
        self.one_hot = torch.eye(vocabulary, device=form.device)
        first = hidden if form.embedding else vocabulary
        self.rnn: Any
        if form.cells:
            kind = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[cell]
            self.rnn = torch.nn.ModuleList(kind(hidden if layer else first, hidden) for layer in range(layers))
        else:
            kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
            self.rnn = kind(first, hidden, layers)
        self.head = torch.nn.Linear(hidden, vocabulary)
        modules = [self.rnn, self.head, *([self.embedding] if self.embedding else [])]
        for module in modules:
            module.to(form.device)
        self.parameters = [p for module in modules for p in module.parameters()]
        if params is not None and not form.embedding:
            self._load(params)
        self.forward: Callable[[Any, Any], tuple[Any, Any]] = self._forward
        if form.compiled:
            self.forward = torch.compile(self._forward, dynamic=False)

    def _load(self, params: Mapping[str, np.ndarray]) -> None:
        """Copy the tensors of a model file into the modules of the same names."""
        tensors = {name: self.torch.from_numpy(np.array(array)) for name, array in params.items()}
        head = {name.removeprefix("head."): t for name, t in tensors.items() if name.startswith("head.")}
        self.head.load_state_dict(head, strict=True)
        rnn = {name.removeprefix("rnn."): t for name, t in tensors.items() if name.startswith("rnn.")}
        if self.form.cells:
            rnn = {f"{name.rpartition('_l')[2]}.{name.rpartition('_l')[0]}": t for name, t in rnn.items()}
        self.rnn.load_state_dict(rnn, strict=True)

    def _forward(self, ids: Any, state: Any) -> tuple[Any, Any]:
        """Return the logits (T, B, V) of ids (T, B) and the new state. A state of None is zero."""
        xs = self.one_hot[ids] if self.embedding is None else self.embedding(ids)
        if not self.form.cells:
            outputs, state = self.rnn(xs, state)
            return self.head(outputs), state
        states: list[Any] = list(state) if state is not None else [None] * len(self.rnn)
        tops = []
        for x in xs:
            for layer, cell in enumerate(self.rnn):
                states[layer] = cell(x, states[layer])
                x = states[layer][0] if isinstance(states[layer], tuple) else states[layer]
            tops.append(x)
        return self.head(self.torch.stack(tops)), states

    def training_step(self, streams: np.ndarray, steps: int) -> Step:
        """Return a step of truncated BPTT over streams (N, B) with fused Adam and gradient clipping."""
        torch = self.torch
        optimizer = torch.optim.Adam(self.parameters, 1e-3, fused=True)
        data = torch.from_numpy(streams.astype(np.int64)).to(self.form.device)
        starts, n_streams = iter_windows(len(data), steps), int(streams.shape[1])
        state: Any = None

        def step() -> int:
            nonlocal state
            start = next(starts)
            with torch.autocast(self.form.device, torch.bfloat16, enabled=self.form.bfloat16):
                logits, state = self.forward(data[start : start + steps], state)
            state = detached(state)
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1).float(), data[start + 1 : start + steps + 1].flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            return steps * n_streams

        return step

    def sampling_step(self, streams: int) -> Step:
        """Return a step that draws one character in each stream."""
        torch = self.torch
        ids = torch.zeros(1, streams, dtype=torch.int64)
        state: Any = None

        def step() -> int:
            nonlocal ids, state
            with torch.inference_mode():
                logits, state = self.forward(ids, state)
                ids = torch.multinomial(torch.softmax(logits[0], -1), 1).T
            return streams

        return step

    def score(self, ids: np.ndarray) -> float:
        """Return the log-probability of ids[1:] in nats, computed in one call."""
        torch = self.torch
        with torch.inference_mode():
            data = torch.from_numpy(ids.astype(np.int64))[:, None]
            logits, _ = self.forward(data[:-1], None)
            return -float(torch.nn.functional.cross_entropy(logits[:, 0], data[1:, 0], reduction="sum"))


def detached(state: Any) -> Any:
    """Return a state, nested tuples or lists of tensors, detached from the graph."""
    return type(state)(map(detached, state)) if isinstance(state, (list, tuple)) else state.detach()


def iter_windows(length: int, steps: int) -> Iterator[int]:
    """Yield window starts indefinitely."""
    while True:
        yield from range(0, length - steps - 1, steps)
