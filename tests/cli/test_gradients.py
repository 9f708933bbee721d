"""charlm gradients, through the installed command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary
from tests.cli.command import charlm
from tests.cli.conftest import VERSE

COMPARED = ("gradients", "-m", "verse.safetensors", "-m", "names.safetensors", "--file", "verse.txt")


@pytest.fixture
def folder(tmp_path: Path, verse_model: Path) -> Path:
    """Return a folder with a trained model, the log of its run and a text."""
    shutil.copy(verse_model, tmp_path / "verse.safetensors")
    shutil.copy(verse_model.with_name("charlm.log.jsonl"), tmp_path / "verse.log.jsonl")
    (tmp_path / "verse.txt").write_text(VERSE * 10)
    return tmp_path


def test_report_has_a_table_of_norms_and_the_rate_of_clipping(folder: Path) -> None:
    done = charlm("gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--back", 20, cwd=folder)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "norm of d loss_t / d h_(t-k), loss in nats, mean over 100 positions t"
    assert lines[1].split() == ["k", "(steps", "back)", "layer", "1"]
    assert [int(line.split()[0]) for line in lines[2:9]] == [0, 1, 2, 4, 8, 16, 20]
    assert all(float(line.split()[1]) > 0 for line in lines[2:9])
    assert lines[9].startswith("layer 1: times 0.")
    rows = [json.loads(row) for row in (folder / "verse.log.jsonl").read_text().splitlines()]
    clipped = sum(row["grad_norm"] > 1 for row in rows)
    assert f"clipping: acted at {clipped} of {len(rows)} logged steps" in lines[10]


def test_table_with_a_power_of_two_as_its_end_has_that_row_once(folder: Path) -> None:
    done = charlm("gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--back", 4, cwd=folder)
    assert [line.split()[0] for line in done.out.splitlines()[2:7]] == ["0", "1", "2", "4", "layer"]


def test_table_of_a_short_text_ends_at_its_length(folder: Path) -> None:
    run = ("gradients", "-m", "verse.safetensors", "the dog")
    done = charlm(*run, cwd=folder)
    assert (done.code, done.out.count(" - ")) == (0, 0)
    assert [line.split()[0] for line in done.out.splitlines()[2:8]] == ["0", "1", "2", "4", "6", "layer"]
    assert done.out.startswith("norm of d loss_t / d h_(t-k), loss in nats, mean over 7 positions t\n")
    reason = "because the text or its lines are shorter"
    assert done.err == f"charlm: verse.safetensors: measured up to k = 6 instead of 64, {reason}\n"
    assert charlm(*run, "--back", 6, cwd=folder).err == ""


def test_table_of_one_character_has_one_row(folder: Path) -> None:
    out = charlm("gradients", "-m", "verse.safetensors", "t", cwd=folder).out.splitlines()
    assert out[0].endswith("mean over 1 position t")
    assert [line.split()[0] for line in out[2:4]] == ["0", "layer"]


def test_json_has_every_step(folder: Path) -> None:
    done = charlm(
        "gradients", "-m", "verse.safetensors", "-", "--json", "--back", 5, cwd=folder, stdin=VERSE.encode() * 9
    )
    found = json.loads(done.out)
    assert len(found["norms"]) == 1
    assert len(found["norms"][0]) == len(found["places"]) == 6
    assert found["model"] == "verse.safetensors"
    assert found["clip"] == found["clipping"]["limit"] == 1
    rows = (folder / "verse.log.jsonl").read_text().splitlines()
    assert found["clipping"]["steps"] == len(rows)
    norms = sorted(json.loads(row)["grad_norm"] for row in rows)
    assert found["clipping"]["largest_norm"] == norms[-1]


def test_json_has_an_object_for_each_model(folder: Path, names_model: Path) -> None:
    shutil.copy(names_model, folder / "names.safetensors")
    done = charlm(*COMPARED, "--json", "--back", 3, cwd=folder)
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [model["model"] for model in found] == ["verse.safetensors", "names.safetensors"]
    assert found[0]["norms"] != found[1]["norms"]


def test_models_are_compared_on_one_text(folder: Path, names_model: Path) -> None:
    shutil.copy(names_model, folder / "names.safetensors")
    done = charlm(*COMPARED, "--back", 40, cwd=folder)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[1].split()[-2:] == ["verse", "names"]
    assert lines[8].split()[2] == "-"  # no line of the text is 40 characters long
    assert "names.safetensors: clipping: not known, there is no training log next to names.safetensors" in done.out


def test_model_that_is_given_twice_has_two_columns(folder: Path) -> None:
    done = charlm(
        "gradients",
        "-m",
        "verse.safetensors",
        "-m",
        "verse.safetensors",
        "--file",
        "verse.txt",
        "--back",
        2,
        cwd=folder,
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split()[-2:] == ["verse.safetensors"] * 2


def test_plot_is_a_reproducible_svg_file(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    done = charlm(
        "gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--plot", "flow.svg", "--back", 8, cwd=folder
    )
    assert done.code == 0, done.err
    drawn = (folder / "flow.svg").read_text()
    assert drawn.lstrip().startswith("<?xml")
    assert "layer 1" in drawn
    assert "steps back" in drawn
    assert "mathdefault" not in drawn
    charlm(
        "gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--plot", "again.svg", "--back", 8, cwd=folder
    )
    assert (folder / "again.svg").read_text() == drawn
    wrong = charlm("gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--plot", "flow.doc", cwd=folder)
    assert wrong.code == 2
    assert wrong.err.startswith("charlm: flow.doc: a plot's name must end in one of ")
    assert not wrong.out


def test_json_is_printed_in_addition_to_a_plot(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    flags = ("--json", "--plot", "flow.svg", "--back", 2)
    done = charlm("gradients", "-m", "verse.safetensors", "--file", "verse.txt", *flags, cwd=folder)
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] == "verse.safetensors"
    assert "layer 1" in (folder / "flow.svg").read_text()


def test_plot_without_matplotlib_names_the_package_to_install(folder: Path) -> None:
    (folder / "nowhere").mkdir()
    (folder / "nowhere" / "matplotlib.py").write_text("raise ImportError")
    arguments = ("gradients", "-m", "verse.safetensors", "--file", "verse.txt", "--plot", "flow.svg")
    done = charlm(*arguments, cwd=folder, PYTHONPATH=path_with(folder / "nowhere"))
    assert done.code == 1
    assert done.err == "charlm: --plot needs matplotlib, which is not installed; run: pip install matplotlib\n"
    assert not done.out
    assert charlm(*arguments[:5], cwd=folder, PYTHONPATH=path_with(folder / "nowhere")).code == 0


def path_with(folder: Path) -> str:
    """Return a PYTHONPATH that starts with `folder`."""
    import os

    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def test_untrained_model_has_no_figures_on_clipping(tmp_path: Path) -> None:
    import numpy as np

    vocabulary = Vocabulary.build(dict.fromkeys("abc", 1))
    network = Network(NetworkConfig("rnn", 4, 2), len(vocabulary))
    model = LanguageModel(network, network.initial(np.random.default_rng(0)), vocabulary, TextConfig())
    model.save(tmp_path / "new.safetensors")
    (tmp_path / "text.txt").write_text("abc" * 30)
    done = charlm("gradients", "-m", "new.safetensors", "--file", "text.txt", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "layer 1: times" in done.out
    assert "layer 2: times" in done.out
    assert done.out.endswith("clipping: not known, the model file does not hold the settings of its training\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("-m", "verse.safetensors"), 2, "no text is given"),
        (("none.safetensors", "verse.txt"), 1, "charlm: none.safetensors: no such model"),
        (("verse.safetensors", "none.txt"), 1, "charlm: none.txt: no such file"),
        (("verse.safetensors", "verse.txt", "--back", 0), 2, "charlm: --back is 0; expected 1 to 10000"),
        (("verse.safetensors", "empty.txt"), 1, "charlm: there is no character whose loss could be measured"),
    ],
)
def test_mistake_is_reported_in_one_line(folder: Path, arguments: tuple[object, ...], code: int, message: str) -> None:
    (folder / "empty.txt").touch()
    done = charlm("gradients", *arguments, cwd=folder)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
