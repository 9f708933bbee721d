"""Prepare a network for reading."""

from __future__ import annotations

from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


def prepare_network(network: Network, params: Parameters) -> PreparedNetwork | PreparedBidirectionalNetwork:
    """Return what reads with a network and scores windows."""
    if isinstance(network, BidirectionalNetwork):
        return PreparedBidirectionalNetwork(network, params)
    return PreparedNetwork(network, params)
