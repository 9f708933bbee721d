"""Fuzz the readers of models and state files: any bytes give a working object, a CheckpointError or a ResumeError.

    python fuzz/fuzz_model_file.py -max_total_time=600

Coverage-guided (atheris, libFuzzer). Inputs that are safetensors files are mutated as such, so that they pass the first
checks. The seeds are small valid files.
"""

from __future__ import annotations

import random
import struct
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["charlm"]):
    import charlm
    from charlm.checkpoint import TrainingRecord, read_state, write_state
    from charlm.cli.info import facts_of, readable
    from charlm.errors import CheckpointError, ResumeError
    from charlm.model import LanguageModel
    from charlm.nn.cells import CELLS
    from charlm.nn.network import Network
    from charlm.runs.resume import SavedRun

import numpy as np

from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.text.vocabulary import Vocabulary
from tests.reliability.mutations import damaged

FOLDER = TemporaryDirectory(prefix="charlm-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
FILE = Path(FOLDER.name) / "m.safetensors"


def write_seeds(folder: Path) -> None:
    """Write a model of each cell, a mixture, and the state of a run."""
    folder.mkdir(exist_ok=True)
    for number, cell in enumerate(CELLS):
        vocabulary = Vocabulary.build(dict.fromkeys("a\n文"[: number + 1], 2), unit="word" if number == 2 else "char")
        network = Network(NetworkConfig(cell, 2, 1 + number % 2), len(vocabulary))
        members = [network.initial(np.random.default_rng(0))] * (1 + number % 2)
        record = TrainingRecord(sources=("x",), steps=3, valid_loss=1.5)
        text = TextConfig(unit=vocabulary.unit)
        LanguageModel(network, members, vocabulary, text, record).save(folder / cell, overwrite=True)
    arrays = {"params": np.zeros(3, np.float32), "state.0.0": np.zeros((2, 1))}
    facts = {"network": {}, "train": {"seed": 1}, "text": {}, "trainer": {"step": 1}, "corpus": {}, "model": {}}
    write_state(folder / "state", arrays, facts)
    run = SavedRun(folder / "run", NetworkConfig("gru", 2), TrainConfig(), TextConfig(),
                   Vocabulary.build({"a": 1}), {}, arrays | {"step": 1}, TrainingRecord())  # fmt: skip
    run.write()


def test_one_input(content: bytes) -> None:
    """Read the bytes as a model and as a state file."""
    FILE.write_bytes(content)
    try:
        model = charlm.load(FILE)
    except CheckpointError as error:
        check_message(str(error))
    else:
        if not np.isfinite(model.score("a文\n").log_prob):
            raise AssertionError("an accepted model gives no finite probability")
        model.sample("a", length=3, seed=0)
        readable(facts_of(model, FILE))
    try:
        read_state(FILE)
        SavedRun.read(FILE)
    except (CheckpointError, ResumeError) as error:
        check_message(str(error))


def check_message(message: str) -> None:
    """Raise AssertionError unless a message is one printable line."""
    if not message.isprintable() or len(message) > 1000:
        raise AssertionError(f"not a printable line: {message!r}")


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Mutate a safetensors file as such, other bytes as bytes."""
    rng = random.Random(seed)
    with suppress(Exception):  # not a safetensors file
        return next(damaged(data, rng, 1))[:max_size]
    offset = rng.randrange(len(data) + 1)
    piece = rng.choice((rng.randbytes(rng.randrange(1, 9)), b'{"', struct.pack("<Q", rng.randrange(999))))
    return (data[:offset] + piece + data[offset + rng.randrange(9) :])[:max_size]


def main() -> None:
    """Fuzz with the arguments of libFuzzer."""
    seeds = Path(FOLDER.name) / "seeds"
    write_seeds(seeds)
    arguments = [sys.argv[0], "-max_len=20000", "-rss_limit_mb=4096", "-timeout=20", *sys.argv[1:], str(seeds)]
    atheris.Setup(arguments, test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
