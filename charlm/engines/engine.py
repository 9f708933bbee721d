"""The interface of an engine, which computes the gradient of a window and carries the state to the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from charlm.arrays import Array, Ids
from charlm.nn.base import NetworkState
from charlm.nn.layout import Parameters


class Engine(Protocol):
    """Computes the loss and the mean gradient of windows; use as a context.

    T is the number of steps of a window, b the number of streams that this process reads, P the number of parameters.

    Attributes
    ----------
    params : Parameters
        The parameters to train, available inside the context. The trainer updates them in place between windows.
    grads : ndarray of shape (P,)
        The mean gradient of the last window over all processes. The trainer may overwrite it.
    characters : float
        Number of targets of the last window, or their summed weights, over all processes.
    """

    params: Parameters
    grads: Array
    characters: float

    def __enter__(self) -> Engine:
        """Acquire memory, processes or devices. Raises ResourceError if the system refuses."""

    def __exit__(self, *_: object) -> None:
        """Release all resources."""

    def loss_and_grads(self, inputs: Ids, targets: Ids, weights: Array | None, window: int = 0) -> float:
        """Backpropagate through one window, from the carried state to the next one.

        Parameters
        ----------
        inputs, targets : ndarray of int, shape (T, b)
            Ids of the streams that this process reads.
        weights : ndarray of shape (T, b) or None
            Weight of each target in the loss; None for 1 each.
        window : int
            Number of the window, which seeds its dropout masks.

        Returns
        -------
        float
            Mean loss over the streams of all processes, in nats per character. The gradient is in `grads`.

        Raises
        ------
        ResourceError
            If memory runs out, or if another process has exited.
        """

    def state_dict(self) -> dict[str, Array]:
        """Return the carried state of the streams of all processes; every process must call this together.

        Keys are `state.{layer}.{index}`; arrays are copies of shape (H, B), as in the state file.
        """

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Continue from the carried state that `state_dict` returned; other keys are ignored."""

    def free_buffers(self) -> None:
        """Free the buffers of a window; the next window allocates them again."""


def state_to_dict(state: NetworkState) -> dict[str, Array]:
    """Return the state of all layers (B, H) under the names, and in the shape (H, B), of the state file."""
    return {
        f"state.{layer}.{index}": array.T.copy()
        for layer, arrays in enumerate(state)
        for index, array in enumerate(arrays)
    }


def load_state(state: NetworkState, arrays: Mapping[str, Array]) -> None:
    """Overwrite the state of all layers, (B, H) each, by arrays that `state_to_dict` returned."""
    for layer, layer_arrays in enumerate(state):
        for index, array in enumerate(layer_arrays):
            array[...] = arrays[f"state.{layer}.{index}"].T
