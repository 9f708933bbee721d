"""Prepare the weights of a network for inference."""

from __future__ import annotations

from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


def prepare_network(network: BaseNetwork, params: Parameters) -> PreparedNetwork | PreparedBidirectionalNetwork:
    """Return a network of either kind with its weights prepared."""
    if isinstance(network, BidirectionalNetwork):
        return PreparedBidirectionalNetwork(network, params)
    assert isinstance(network, Network)
    return PreparedNetwork(network, params)
