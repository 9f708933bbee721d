"""Which network a configuration means, and what reads with it."""

from __future__ import annotations

from charlm.config import NetworkConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.bidirectional import BidirectionalNetwork, PreparedBidirectionalNetwork
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


def make_network(config: NetworkConfig, vocabulary: int, start: int = 0) -> Network:
    """Return the network of a configuration.  vocabulary: V.  start: the id that makes a stream start anew."""
    kind = BidirectionalNetwork if config.bidirectional else Network
    return kind(config, vocabulary, start)


def prepare_network(network: Network, params: Parameters) -> PreparedNetwork | PreparedBidirectionalNetwork:
    """Return what reads with a network and scores windows."""
    if isinstance(network, BidirectionalNetwork):
        return PreparedBidirectionalNetwork(network, params)
    return PreparedNetwork(network, params)
