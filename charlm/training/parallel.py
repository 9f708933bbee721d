"""One window on several cores: the batch is split into shards of streams, a thread for each.

NumPy lets go of the interpreter inside its loops and products, so threads run side by side. BLAS is held
to one thread each meanwhile. The split depends on the number of threads alone, and the shards' gradients
are added in their order: the same seed and threads give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from charlm.arrays import Array, Ids
from charlm.nn.layout import Parameters
from charlm.nn.network import Network, NetworkState
from charlm.nn.workspace import Workspace

Result = TypeVar("Result")


class Shards:
    """Streams, split over threads; use as a context.

    network, params: what is trained.  streams: B.  threads: at most this many shards.
    rng: its children draw the dropout masks.
    """

    def __init__(
        self, network: Network, params: Parameters, streams: int, threads: int, rng: np.random.Generator
    ) -> None:
        self.network = network
        self.params = params
        count = min(threads, streams)
        bounds = [streams * k // count for k in range(count + 1)]
        self.parts = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
        self.grads = [params.empty_like() for _ in self.parts]
        self.rngs = rng.spawn(count) if hasattr(rng, "spawn") else spawn(rng, count)
        self._work = [Workspace(params.flat.dtype) for _ in self.parts]
        self._states = [network.zero_state(part.stop - part.start, params.flat.dtype) for part in self.parts]
        self._pool = ThreadPoolExecutor(max(1, count - 1), thread_name_prefix="charlm")
        self._limits = threadpool_limits(1, user_api="blas")

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, dropout: bool = True) -> float:
        """Back-propagate through one window; the mean gradient is left in `self.grads[0]`.

        inputs, targets: (T, B).  weights: (T, B) or None.
        Returns the mean loss, in nats per character.
        """
        total = float(targets.size if weights is None else weights.sum())
        scale = 1 / max(total, 1.0)

        def run(shard: int) -> float:
            part = self.parts[shard]
            loss, self._states[shard] = self.network.loss_and_grads(
                self.params,
                self.grads[shard],
                np.ascontiguousarray(inputs[:, part]),
                np.ascontiguousarray(targets[:, part]),
                self._states[shard],
                scale=scale,
                work=self._work[shard],
                weights=None if weights is None else np.ascontiguousarray(weights[:, part]),
                rng=self.rngs[shard] if dropout else None,
            )
            return loss

        loss = sum(self.each(run, range(len(self.parts))))

        def add(part: slice) -> None:
            for other in self.grads[1:]:
                self.grads[0].flat[part] += other.flat[part]

        self.each(add, self.parameter_parts())
        return loss * scale

    def parameter_parts(self) -> list[slice]:
        """Return the flat vector cut into a part for each thread."""
        size, count = self.params.flat.size, len(self.parts)
        return [slice(size * k // count, size * (k + 1) // count) for k in range(count)]

    def each(self, do: Callable[..., Result], items: Sequence[object] | range) -> list[Result]:
        """Call `do` with every item, side by side, and return the results in the order of the items."""
        others = [self._pool.submit(do, item) for item in items[1:]]
        first = do(items[0])
        return [first, *(future.result() for future in others)]

    @property
    def state(self) -> NetworkState:
        """The state of all streams."""
        return [
            tuple(np.concatenate(arrays, axis=1) for arrays in zip(*layers, strict=True))
            for layers in zip(*self._states, strict=True)
        ]

    @state.setter
    def state(self, state: NetworkState) -> None:
        self._states = [self.network.select(state, part) for part in self.parts]


def spawn(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return `count` generators that are independent of `rng` and of each other (NumPy < 1.25 lacks it)."""
    return [np.random.default_rng(rng.integers(1 << 63, size=4)) for _ in range(count)]
