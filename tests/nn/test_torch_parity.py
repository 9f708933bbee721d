"""The same numbers as PyTorch: forward, gradients, optimizer steps, and files that it loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.inference.prepared_network import PreparedNetwork
from charlm.kernels.workspace import Workspace
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS, find_cell
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.nn.window import Window
from charlm.optim import OPTIMIZERS, find_optimizer
from charlm.text.vocabulary import Vocabulary

torch = pytest.importorskip("torch")
TORCH_CELLS = [name for name in CELLS if find_cell(name).torch_name]
STEPS, STREAMS, HIDDEN, VOCABULARY = 9, 4, 6, 11


class Peer(torch.nn.Module):  # type: ignore[misc]
    """The same network in PyTorch."""

    def __init__(self, cell: str, layers: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        kind = getattr(torch.nn, find_cell(cell).torch_name or "")
        options = {"nonlinearity": "relu"} if cell == "rnn-relu" else {}
        self.rnn = kind(VOCABULARY, hidden, layers, **options)
        self.head = torch.nn.Linear(hidden, VOCABULARY)

    def forward(self, ids: np.ndarray) -> torch.Tensor:
        """Return the logits, (T, B, V)."""
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(ids), VOCABULARY).to(self.head.weight.dtype)
        return self.head(self.rnn(one_hot)[0])

    def loss(self, inputs: np.ndarray, targets: np.ndarray) -> torch.Tensor:
        """Return the mean cross-entropy."""
        return torch.nn.functional.cross_entropy(self(inputs).flatten(0, 1), torch.from_numpy(targets).flatten())


def pair(
    cell: str, layers: int, hidden: int = HIDDEN, steps: int = STEPS, streams: int = STREAMS
) -> tuple[Network, Parameters, Peer, np.ndarray, np.ndarray]:
    """Return the network with its parameters, the peer with the same, inputs and targets."""
    rng = np.random.default_rng(layers)
    network = Network(NetworkConfig(cell, hidden, layers), VOCABULARY, start=-1)
    params = network.initial(rng, np.float64)
    params.flat += 0.2 * rng.standard_normal(params.flat.size) * np.sqrt(HIDDEN / hidden)
    peer = Peer(cell, layers, hidden).double()
    peer.load_state_dict({name: torch.from_numpy(view.copy()) for name, view in params.items()}, strict=True)
    inputs, targets = rng.integers(0, VOCABULARY, (2, steps, streams))
    return network, params, peer, inputs, targets


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_forward_and_gradients_equal_pytorch(cell: str, layers: int) -> None:
    same_numbers(*pair(cell, layers))


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(("hidden", "streams"), [(128, 25), (96, 32)])
@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_forward_and_gradients_of_realistic_sizes_equal_pytorch(cell: str, hidden: int, streams: int) -> None:
    """Where products are cut into blocks, and where they are not."""
    same_numbers(*pair(cell, 2, hidden, 20, streams))


def same_numbers(network: Network, params: Parameters, peer: Peer, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Compare log-probabilities, loss and gradients."""
    streams = inputs.shape[1]
    log_probs, _ = PreparedNetwork(network, params).predict(inputs, network.zero_state(streams, np.float64))
    expected = torch.log_softmax(peer(inputs), -1).detach().numpy()
    np.testing.assert_allclose(log_probs.transpose(0, 2, 1), expected, rtol=0, atol=1e-12)
    grads = params.empty_like()
    state = network.zero_state(streams, np.float64)
    window = Window(inputs, targets, scale=1 / inputs.size)
    loss, _ = network.loss_and_grads(params, grads, window, state, Workspace(np.float64))
    peer_loss = peer.loss(inputs, targets)
    peer_loss.backward()
    assert loss / inputs.size == pytest.approx(float(peer_loss.detach()), rel=1e-12)
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_five_steps_of_each_optimizer_equal_pytorch(cell: str, name: str) -> None:
    network, params, peer, inputs, targets = pair(cell, 2)
    ours = find_optimizer(name, params.flat.size, np.float64)
    theirs = {
        "adam": lambda: torch.optim.Adam(peer.parameters(), 0.01),
        "rmsprop": lambda: torch.optim.RMSprop(peer.parameters(), 0.01),
        "sgd": lambda: torch.optim.SGD(peer.parameters(), 0.01, momentum=0.9),
    }[name]()
    grads, work = params.empty_like(), Workspace(np.float64)
    for _ in range(5):
        state = network.zero_state(STREAMS, np.float64)
        network.loss_and_grads(params, grads, Window(inputs, targets, scale=1 / inputs.size), state, work)
        ours.begin_step()
        ours.update(params.flat, grads.flat, 0.01)
        theirs.zero_grad()
        peer.loss(inputs, targets).backward()
        theirs.step()
    for key, parameter in peer.named_parameters():
        np.testing.assert_allclose(params[key], parameter.detach().numpy(), rtol=0, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_model_file_loads_into_pytorch(cell: str, tmp_path: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    vocabulary = Vocabulary.build(dict.fromkeys("abcdefghi", 1))
    network = Network(NetworkConfig(cell, HIDDEN, 2), len(vocabulary))
    model = LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig())
    model.save(tmp_path / "model.safetensors")
    peer = Peer(cell, 2)
    peer.load_state_dict(safetensors_torch.load_file(tmp_path / "model.safetensors"), strict=True)
    ids = np.array([[vocabulary.eos], *([i] for i in vocabulary.encode("badge"))])
    gather_log_probs = torch.log_softmax(peer(ids[:-1]), -1).detach()
    expected = sum(float(gather_log_probs[t, 0, i]) for t, i in enumerate(ids[1:, 0]))
    assert model.score("badge").log_prob == pytest.approx(expected, abs=1e-5)


def test_scores_of_random_texts_equal_pytorch(tmp_path: Path) -> None:
    safetensors_torch = pytest.importorskip("safetensors.torch")
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.build(dict.fromkeys("abcdefghi", 1))
    network = Network(NetworkConfig("lstm", HIDDEN, 2), len(vocabulary))
    params = network.initial(rng)
    params.flat += 0.5 * rng.standard_normal(params.flat.size).astype(np.float32)
    model = LanguageModel(network, params, vocabulary, TextConfig())
    model.save(tmp_path / "model.safetensors")
    peer = Peer("lstm", 2)
    peer.load_state_dict(safetensors_torch.load_file(tmp_path / "model.safetensors"), strict=True)
    texts = ["".join(rng.choice(list("abcdefghi?"), rng.integers(1, 60))) for _ in range(1000)]
    for text, score in zip(texts, model.score_many(texts), strict=True):
        ids = np.concatenate([[vocabulary.eos], vocabulary.encode(text)]).astype(np.int64)[:, None]
        gather_log_probs = torch.log_softmax(peer(ids[:-1]), -1).detach()[:, 0]
        expected = gather_log_probs.double().gather(1, torch.from_numpy(ids[1:])).sum().item()
        assert score.log_prob == pytest.approx(expected, abs=1e-4), text


def test_probabilities_of_next_characters_sum_to_one() -> None:
    network, params, _, inputs, _ = pair("gru", 2)
    log_probs, _ = PreparedNetwork(network, params).predict(inputs, network.zero_state(STREAMS, np.float64))
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=0, atol=1e-12)
