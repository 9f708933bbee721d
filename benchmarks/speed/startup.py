"""Start-up time of commands: whole processes, in turn."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np

from benchmarks.library.alternation import describe_machine
from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary


def save_model(path: Path) -> None:
    """Write an untrained 128x2 model."""
    vocabulary = Vocabulary.build({chr(code): 1 for code in range(32, 95)})
    network = Network(NetworkConfig("lstm", 128, 2), len(vocabulary))
    LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig()).save(path)


@click.command()
@click.option("--rounds", default=11, show_default=True)
def main(rounds: int) -> None:
    """Measure start-up time against `import torch`."""
    print(describe_machine(), "\n")
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        save_model(model)
        commands = {
            "python -c pass": ["-c", "pass"],
            "charlm --help": ["-m", "charlm", "--help"],
            "charlm train --help": ["-m", "charlm", "train", "--help"],
            'python -c "import numpy"': ["-c", "import numpy"],
            "charlm sample --length 1 (128x2)": ["-m", "charlm", "sample", "-m", str(model), "--length", "1"],
            "charlm score hello (128x2)": ["-m", "charlm", "score", "-m", str(model), "HELLO"],
            'python -c "import torch"': ["-c", "import torch"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, arguments in commands.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
                seconds[name].append(time.perf_counter() - started)
    print("| command | median seconds | more than python -c pass | of import torch |")
    print("|---|---|---|---|")
    medians = {name: median(values[1:]) for name, values in seconds.items()}  # the first run warmed the disk cache
    base, torch = medians["python -c pass"], medians['python -c "import torch"']
    for name, value in medians.items():
        print(f"| `{name}` | {value:.3f} | {value - base:+.3f} | {value / torch:.2f} |")


if __name__ == "__main__":
    main()
