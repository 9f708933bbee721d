"""The held-out loss on a device."""

from __future__ import annotations

import numpy as np
import torch

from charlm.arrays import Array, Ids
from charlm.engines.torch_group import as_resource_errors
from charlm.engines.torch_model import Model
from charlm.engines.torch_window import copy_to, to_bidirectional_window, to_window
from charlm.engines.tuning import EngineTuning
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork


class TorchEvaluator:
    """An `Evaluator` on PyTorch, in float32.

    Parameters
    ----------
    model : Model
        The weights, on the device.
    network : BaseNetwork
        The network of these weights.
    device : torch.device
    tuning : EngineTuning

    Attributes
    ----------
    streams : int
        Streams to read in parallel, at most.
    """

    def __init__(self, model: Model, network: BaseNetwork, device: torch.device, tuning: EngineTuning) -> None:
        self._model, self._network, self._device, self._tuning = model, network, device, tuning
        is_cpu = device.type == "cpu"
        self.streams = tuning.held_out_streams_on_cpu if is_cpu else tuning.held_out_streams_on_gpu
        self._max_values = tuning.max_held_out_values_on_cpu if is_cpu else tuning.max_held_out_values_on_gpu

    def measure(self, inputs: Ids, targets: Ids, logit_scale: float) -> Array:
        """Return the loss of each target and its derivatives, (3, T, B); see `Evaluator.measure`."""
        (steps, streams), network = inputs.shape, self._network
        if isinstance(network, BidirectionalNetwork):
            return self._measure_both(network, inputs, targets, logit_scale)
        layers, arrays, hidden = network.state_shape
        width = max(network.cell.gates * hidden, network.vocabulary)
        length = max(1, self._max_values // (width * streams))
        parts = []
        with as_resource_errors(), torch.no_grad():
            state = (torch.zeros(layers, streams, hidden, device=self._device),) * arrays
            for first in range(0, steps, length):
                chunk = slice(first, first + length)
                window, order = to_window(self._device, inputs[chunk], targets[chunk], None, network, self._tuning)
                hs, state = self._model.read(window, state)
                terms = loss_and_derivatives(self._model.head(hs) * logit_scale, window.targets)
                if order is not None:
                    terms = terms[:, copy_to(self._device, np.argsort(order))]
                parts.append(terms)
            result: Array = torch.cat(parts, dim=1).cpu().numpy()
        return result.reshape(3, steps, streams)

    def _measure_both(self, network: BidirectionalNetwork, inputs: Ids, targets: Ids, logit_scale: float) -> Array:
        """Return the result of `measure` for a bidirectional network; a last target that is not predicted has 0."""
        steps, streams = inputs.shape
        result: Array = np.zeros((3, steps, streams), np.float32)
        width = max(network.cell.gates * network.config.hidden, network.vocabulary)
        count = max(1, self._max_values // (width * steps))
        with as_resource_errors(), torch.no_grad():
            for first in range(0, streams, count):
                part = slice(first, first + count)
                window = to_bidirectional_window(
                    self._device, network, inputs[:, part], targets[:, part], None, (), self._tuning
                )
                hs, _ = self._model.read(window, ())
                terms = loss_and_derivatives(self._model.head(hs) * logit_scale, window.targets)
                own = terms.cpu().numpy().reshape(3, -1, window.streams)
                result[:, : own.shape[1], part] = own
        return result


def loss_and_derivatives(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return loss, first and second derivative of each row, (3, N); see `charlm.nn.functional.loss_and_derivatives`."""
    log_probs = torch.log_softmax(logits, dim=1)
    probs = log_probs.exp()
    at_target = log_probs.gather(1, targets[:, None])[:, 0]
    mean = (probs * log_probs).sum(1)
    variance = (probs * (log_probs - mean[:, None]).square()).sum(1)
    return torch.stack([-at_target, mean - at_target, variance])
