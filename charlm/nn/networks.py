"""The network of a configuration."""

from __future__ import annotations

from charlm.config import NetworkConfig
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork, Tagger
from charlm.nn.encoder_decoder import EncoderDecoder
from charlm.nn.network import Network


def make_network(config: NetworkConfig, vocabulary: int, start: int = 0) -> BaseNetwork:
    """Return the network of a configuration: see `BaseNetwork` for the parameters."""
    if config.encoder_decoder:
        return EncoderDecoder(config, vocabulary, start)
    if config.bidirectional:
        kind = Tagger if config.outputs else BidirectionalNetwork
        return kind(config, vocabulary, start)
    return Network(config, vocabulary, start)
