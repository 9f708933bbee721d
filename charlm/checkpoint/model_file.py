"""The model file: weights under PyTorch's names, and the metadata key `charlm` with everything else.

The value of `charlm` is JSON: `format_version`; `charlm_version`, which wrote it; `config`, a NetworkConfig
and in its `text` a TextConfig; `torch`, the class that takes the recurrent weights, or that PyTorch has none;
`vocabulary`, as from `Vocabulary.to_json`; `training`, how it was made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.checkpoint.container import open_container, refusal_to_write, write_container
from charlm.checkpoint.format_version import check_version
from charlm.checkpoint.storage import Path, printable
from charlm.checkpoint.strict_json import as_object, dump_json, parse_json
from charlm.checkpoint.training_record import TrainingRecord
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ModelExistsError
from charlm.nn.cells import find_cell
from charlm.nn.layout import parameter_layout
from charlm.text.vocabulary import Vocabulary
from charlm.version import __version__

FORMAT_VERSION = 1
MAX_WEIGHT = 1e20  # times the largest hidden size, a sum of such weights is still finite in float32

@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds.

    text: the fields of a TextConfig.  tensors: name -> float32 array, exactly those of `parameter_layout`.
    training: what the model was trained on, how long, the losses reached.
    """

    config: NetworkConfig
    text: dict[str, Any]
    vocabulary: Vocabulary
    tensors: Mapping[str, npt.NDArray[Any]]
    training: TrainingRecord = field(default_factory=TrainingRecord)


def write_model(path: Path, model: ModelFile, *, overwrite: bool = True) -> None:
    """Write `model` to `path` atomically.

    Raises ModelExistsError if there is a file already and not `overwrite`; CheckpointError if it cannot be
    written, or if `read_model` would refuse it (a weight is not finite, say). The old file is left alone.
    """
    if not overwrite and os.path.exists(path):
        raise ModelExistsError(
            f"{printable(path)} exists already; replace it with --overwrite, or name another"
        )
    try:
        tensors = {name: np.asarray(tensor, np.float32) for name, tensor in model.tensors.items()}
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        _check_shapes(shapes, model.config, len(model.vocabulary))
        _check_weights(tensors)
        metadata = {"charlm": dump_json(_to_json(model))}
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise refusal_to_write(path, error) from error
    write_container(path, tensors, metadata)


def read_model(path: Path) -> ModelFile:
    """Read a model file. Its bytes may be anything: they are checked before they are believed.

    Raises CheckpointError with the path, the reason and what to do. Time and memory are bounded by the file's
    size, and about 0.5 GB for the JSON of a hostile one.
    """
    advice = f"a model is made with: charlm train FILE --model {printable(path)}"
    with open_container(path, {"F32"}, advice) as container:
        content = _content(container.metadata)
        vocabulary = Vocabulary.from_json(content.get("vocabulary"))
        config, text = _from_json(as_object(content.get("config"), "its config"), vocabulary)
        training = TrainingRecord.from_json(content.get("training"))
        _check_shapes(container.shapes, config, len(vocabulary))  # before anything of that size is read
        tensors = container.tensors()
        _check_weights(tensors)
    return ModelFile(config, asdict(text), vocabulary, tensors, training)


def _to_json(model: ModelFile) -> dict[str, Any]:
    text = TextConfig(**{"unit": model.vocabulary.unit, **model.text})
    _check_text(text, model.vocabulary)
    training = model.training.to_json()
    TrainingRecord.from_json(training)  # refuses what `read_model` would refuse
    return {
        "format_version": FORMAT_VERSION,
        "charlm_version": __version__,
        "config": {**_config_json(model.config), "text": asdict(text)},
        "torch": find_cell(model.config.cell).in_torch() or "none: PyTorch has no such cell",
        "vocabulary": model.vocabulary.to_json(),
        "training": training,
    }


def _config_json(config: NetworkConfig) -> dict[str, Any]:
    """Return the settings; a network of one direction is described as it was before there were two."""
    settings = asdict(config)
    if not config.bidirectional:
        del settings["bidirectional"]
    return settings


def _content(metadata: dict[str, str]) -> dict[str, Any]:
    """Return the value of `charlm` in the file's metadata, once its version is known to be ours."""
    if "charlm_state" in metadata:
        raise ValueError("it is the state of a training run, not the model itself, which lies beside it")
    if "charlm" not in metadata:
        raise ValueError("it is a safetensors file, but not of charlm")
    content = as_object(parse_json(metadata["charlm"]), "its metadata `charlm`")
    check_version(content, FORMAT_VERSION)
    return content


def _from_json(content: dict[str, Any], vocabulary: Vocabulary) -> tuple[NetworkConfig, TextConfig]:
    """Return the two settings in `config`; ConfigError or ValueError if they are none."""
    settings = dict(content)
    words = as_object(settings.pop("text", {}), "its text config")
    for found, known in ((settings, NetworkConfig), (words, TextConfig)):
        if unknown := found.keys() - {one.name for one in fields(known)}:
            raise ValueError(
                f"its config has a setting that is not known here: {printable(min(unknown), 40)}"
            )
    if missing := {"cell", "hidden", "layers"} - settings.keys():
        raise ValueError(f"its config says nothing of {', '.join(sorted(missing))}")
    text = TextConfig(**{"unit": vocabulary.unit, **words})
    _check_text(text, vocabulary)
    return NetworkConfig(**settings), text


def _check_text(text: TextConfig, vocabulary: Vocabulary) -> None:
    """Raise ValueError if `text` contradicts `vocabulary`, or names no encoding of text."""
    if text.unit != vocabulary.unit:
        raise ValueError(f"its text config says {text.unit}, its vocabulary {vocabulary.unit}")
    if not _is_encoding(text.encoding):
        raise ValueError(f"its encoding {printable(text.encoding, 40)} is not known here")


def _is_encoding(name: Any) -> bool:
    """Whether `name` is an encoding of text."""
    if not isinstance(name, str) or not re.fullmatch("[ -~]{1,40}", name):
        return False
    try:
        "a".encode(name)  # refuses also the codecs that are not of text, such as hex
    except (LookupError, ValueError):
        return False
    return True


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: NetworkConfig, vocabulary: int) -> None:
    """Raise ValueError unless `shapes` are just those of a network of `config` and `vocabulary` tokens."""
    wanted = parameter_layout(config, vocabulary)
    if missing := wanted.keys() - shapes.keys():
        raise ValueError(f"tensor {min(missing)} is missing")
    if more := shapes.keys() - wanted.keys():
        raise ValueError(f"tensor {printable(min(more), 60)} has no place in this network")
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise ValueError(f"tensor {name} has shape {shapes[name]}, but this network needs {shape}")


def _check_weights(tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Raise ValueError if a weight is NaN, infinite, or so large that the network would overflow."""
    for name, tensor in tensors.items():
        with np.errstate(invalid="ignore"):
            is_sane = tensor.min() >= -MAX_WEIGHT and tensor.max() <= MAX_WEIGHT
        if not is_sane:
            raise ValueError(f"tensor {name} has a weight that is not finite, or beyond {MAX_WEIGHT:g}")
