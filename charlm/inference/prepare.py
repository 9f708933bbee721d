"""Prepare the weights of a network for inference."""

from __future__ import annotations

from collections.abc import Sequence

from charlm.inference.interface import BidirectionalModel, CausalModel, PairModel
from charlm.inference.mixture import BidirectionalMixture, Mixture
from charlm.inference.prepared_bidirectional import PreparedBidirectionalNetwork
from charlm.inference.prepared_encoder_decoder import EncoderDecoderMixture, PreparedEncoderDecoder
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.base import BaseNetwork
from charlm.nn.bidirectional import BidirectionalNetwork
from charlm.nn.encoder_decoder import EncoderDecoder
from charlm.nn.layout import Parameters
from charlm.nn.network import Network


def prepare_network(
    network: BaseNetwork, params: Parameters
) -> PreparedNetwork | PreparedBidirectionalNetwork | PreparedEncoderDecoder:
    """Return a network of any kind with its weights prepared."""
    if isinstance(network, EncoderDecoder):
        return PreparedEncoderDecoder(network, params)
    if isinstance(network, BidirectionalNetwork):
        return PreparedBidirectionalNetwork(network, params)
    assert isinstance(network, Network)
    return PreparedNetwork(network, params)


def prepare_causal(network: Network, members: Sequence[Parameters]) -> CausalModel:
    """Return a network of one direction, prepared; the mixture of its members if it has several."""
    prepared = [PreparedNetwork(network, params) for params in members]
    return Mixture(prepared) if len(prepared) > 1 else prepared[0]


def prepare_bidirectional(network: BidirectionalNetwork, members: Sequence[Parameters]) -> BidirectionalModel:
    """Return a bidirectional network, prepared; the mixture of its members if it has several."""
    prepared = [PreparedBidirectionalNetwork(network, params) for params in members]
    return BidirectionalMixture(prepared) if len(prepared) > 1 else prepared[0]


def prepare_pairs(network: EncoderDecoder, members: Sequence[Parameters]) -> PairModel:
    """Return a network of encoder and decoder, prepared; the mixture of its members if it has several."""
    prepared = [PreparedEncoderDecoder(network, params) for params in members]
    return EncoderDecoderMixture(prepared) if len(prepared) > 1 else prepared[0]
