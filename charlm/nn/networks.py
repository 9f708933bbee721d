"""The network of a configuration."""

from __future__ import annotations

import numpy as np

from charlm.config import NetworkConfig
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork, Tagger
from charlm.nn.encoder_decoder import EncoderDecoder
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


def make_network(config: NetworkConfig, vocabulary: int, start: int = 0) -> BaseNetwork:
    """Return the network of a configuration: see `BaseNetwork` for the parameters."""
    if config.encoder_decoder:
        return EncoderDecoder(config, vocabulary, start)
    if config.bidirectional:
        kind = Tagger if config.outputs else BidirectionalNetwork
        return kind(config, vocabulary, start)
    return Network(config, vocabulary, start)


def condition(params: Parameters, network: BaseNetwork, label: int) -> Parameters:
    """Return the parameters of `network`, which reads no labels, from those of one that reads this label.

    The input has a one at the token and a one at the label, so the column of the label is added to that of each token.
    """
    result = network.parameters(np.empty(network.size, params.flat.dtype))
    for name, view in result.items():
        source = params[name]
        if source.shape != view.shape:
            vocabulary = view.shape[1]
            source = source[:, :vocabulary] + source[:, vocabulary + label, None]
        view[...] = source
    return result
