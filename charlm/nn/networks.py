"""Which network a configuration means, and what reads with it."""

from __future__ import annotations

from charlm.config import NetworkConfig
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.network import Network


def make_network(config: NetworkConfig, vocabulary: int, start: int = 0) -> Network:
    """Return the network of a configuration.  vocabulary: V.  start: the id that makes a stream start anew."""
    kind = BidirectionalNetwork if config.bidirectional else Network
    return kind(config, vocabulary, start)


