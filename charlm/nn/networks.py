"""Which network a configuration means, and what reads with it."""

from __future__ import annotations

from charlm.config import NetworkConfig
from charlm.nn.bidirectional import BidirectionalNetwork, BidirectionalRunner
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.runner import Runner


def make_network(config: NetworkConfig, vocabulary: int, start: int = 0) -> Network:
    """Return the network of a configuration.  vocabulary: V.  start: the id that makes a stream start anew."""
    kind = BidirectionalNetwork if config.bidirectional else Network
    return kind(config, vocabulary, start)


def make_runner(network: Network, params: Parameters) -> Runner | BidirectionalRunner:
    """Return what reads with a network and scores windows."""
    if isinstance(network, BidirectionalNetwork):
        return BidirectionalRunner(network, params)
    return Runner(network, params)
