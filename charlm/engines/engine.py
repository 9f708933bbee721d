"""The interface of an engine, which holds the weights of a network in training and takes the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from charlm.arrays import Array, Ids
from charlm.nn.base import NetworkState
from charlm.nn.layout import Parameters


class StepValues(NamedTuple):
    """What a step of training gave, over all processes.

    Attributes
    ----------
    loss : float
        Mean loss of the window in nats per character.
    norm : float
        L2 norm of the mean gradient before clipping; not finite if training diverged.
    characters : float
        Number of targets of the window, or their summed weights.
    """

    loss: float
    norm: float
    characters: float


class Evaluator(Protocol):
    """Reads held-out text with the averaged weights, on the device of an engine.

    Attributes
    ----------
    streams : int
        Streams to read in parallel, at most.
    """

    streams: int

    def measure(self, inputs: Ids, targets: Ids, logit_scale: float) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B), from a zero state; inputs, targets: (T, B).

        See `charlm.nn.functional.loss_and_derivatives`; logit_scale: scale of the logits.
        """


class Engine(Protocol):
    """Trains the weights of a network window by window; use as a context.

    A step is: loss and gradient of a window, clipping, update of the weights, update of their average. T is the number
    of steps of a window, b the number of streams that this process reads, P the number of parameters.
    """

    @property
    def is_asynchronous(self) -> bool:
        """Whether steps run on a device while this process continues.

        Reading their values waits for the device, so that the caller reads those of several steps at once.
        """

    def __enter__(self) -> Engine:
        """Acquire memory, processes or devices. Raises ResourceError if the system refuses."""

    def __exit__(self, *_: object) -> None:
        """Release all resources."""

    def step(self, inputs: Ids, targets: Ids, weights: Array | None, window: int, rate: float) -> None:
        """Train on one window, from the carried state to the next one.

        A step whose gradient is not finite may or may not change the weights.

        Parameters
        ----------
        inputs, targets : ndarray of int, shape (T, b)
            Ids of the streams that this process reads.
        weights : ndarray of shape (T, b) or None
            Weight of each target in the loss; None for 1 each.
        window : int
            Number of steps before this one. It seeds the dropout masks.
        rate : float
            Learning rate.

        Raises
        ------
        ResourceError
            If memory runs out, or if another process has exited.
        """

    def read_steps(self) -> list[StepValues]:
        """Return the values of the steps since the last call, oldest first; every process must call this together."""

    @property
    def params(self) -> Parameters:
        """The weights: those that are trained if they are in the memory of this process, or else a copy."""

    @property
    def average(self) -> Parameters:
        """The average of the weights: exponential with bias correction, or the weights; perhaps a copy."""

    @property
    def evaluated(self) -> Parameters | Evaluator:
        """What reads held-out text: the averaged weights, for NumPy, or an evaluator on the device."""

    def has_finite_weights(self) -> bool:
        """Return whether the sum of the squares of all weights is finite."""

    def state_dict(self) -> dict[str, Any]:
        """Return all state for a state file, perhaps as views; every process must call this together.

        The arrays `params`, `average` (if there is one) and `moment.{name}` have the shape (P,). The carried states of
        the streams of all processes are `state.{layer}.{index}`, (H, B). `optimizer_steps` is a number.
        """

    def snapshot(self) -> dict[str, Any]:
        """Return all state for `load_state_dict` of this engine: as `state_dict`, or copies on its device."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` or `snapshot` returned; other keys are ignored."""

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
