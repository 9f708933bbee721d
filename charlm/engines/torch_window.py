"""Windows on a device: cut where streams are reset, and copied without a wait for the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from charlm.arrays import Array, Ids, tokens_of
from charlm.engines.segments import Segments, cut_into_chunks, cut_into_segments
from charlm.engines.torch_model import BidirectionalWindow, DeviceWindow
from charlm.engines.tuning import EngineTuning
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork


def copy_to(device: torch.device, array: Array | Ids) -> torch.Tensor:
    """Return an array on the device; the copy to a GPU does not wait. On the CPU, the array itself."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def copy_all_to(device: torch.device, arrays: Sequence[Ids]) -> list[torch.Tensor]:
    """Return vectors of ids on the device, in one copy."""
    whole = copy_to(device, np.concatenate(arrays))
    return list(whole.split([array.size for array in arrays]))


def to_window(
    device: torch.device,
    inputs: Ids,
    targets: Ids,
    weights: Array | None,
    network: BaseNetwork,
    tuning: EngineTuning,
) -> tuple[DeviceWindow, Ids | None]:
    """Copy a window (T, B) to the device, without dropout.

    Parameters
    ----------
    network : BaseNetwork
        Its `start`, EOS, is the input that resets the state of its stream.
    tuning : EngineTuning
        When to cut a window into chunks, and when into segments.

    Returns
    -------
    window : DeviceWindow
    order : ndarray of int, shape (T*B,), or None
        Index of each element in the flattened window; None for its own order.
    """
    ids = [inputs.ravel(), targets.ravel()]
    is_cpu = device.type == "cpu"
    min_steps = tuning.min_steps_per_chunk if is_cpu else tuning.min_steps_per_chunk_on_gpu
    tokens, start = tokens_of(inputs, network.config.conditions), network.start
    chunks = cut_into_chunks(tokens, start, min_steps)
    if chunks:
        resets = [tokens[chunk.start] != start for chunk in chunks]
        masks = [None if mask.all() else copy_to(device, mask[:, None].astype(np.float32)) for mask in resets]
        own = None if weights is None else copy_to(device, weights.ravel())
        ids_there, targets_there = copy_all_to(device, ids)
        return DeviceWindow(ids_there, targets_there, own, None, None, list(zip(chunks, masks, strict=True))), None
    cut = cut_into_segments(tokens, start)
    order = cut.order
    vectors = [ids[0][order], ids[1][order], order % inputs.shape[1], cut.columns, cut.last]
    ids_there, targets_there, streams, columns, last = copy_all_to(device, vectors)
    segments = Segments(None, torch.from_numpy(cut.sizes), columns, copy_to(device, cut.carried), last)
    own = None if weights is None else copy_to(device, weights.ravel()[order])
    return DeviceWindow(ids_there, targets_there, own, streams, segments, []), order


def to_bidirectional_window(
    device: torch.device,
    network: BidirectionalNetwork,
    inputs: Ids,
    targets: Ids,
    weights: Array | None,
    output_masks: Sequence[torch.Tensor],
    tuning: EngineTuning,
) -> BidirectionalWindow:
    """Copy a window (T, B) of a bidirectional network to the device.

    Parameters
    ----------
    network : BidirectionalNetwork
        Says what each stack reads, and so how many steps are predicted.
    output_masks : sequence of tensor
        Dropout masks of the layers of both stacks, (B, H); empty without dropout.
    tuning : EngineTuning
    """
    directions, indices = [], []
    layers = len(output_masks) // 2
    for k, ids in enumerate(network.directions(inputs, targets)):
        window, order = to_window(device, ids, ids, None, network, tuning)
        directions.append(window._replace(output_masks=output_masks[k * layers : (k + 1) * layers]))
        at = np.arange(ids.size) if order is None else np.argsort(order)
        indices.append(at.reshape(ids.shape)[:: -1 if k else 1].ravel())
    steps, streams = ids.shape
    own = None if weights is None else copy_to(device, weights[:steps].ravel())
    *there, predicted = copy_all_to(device, [*indices, targets[:steps].ravel()])
    return BidirectionalWindow(directions, there, predicted, own, streams)
