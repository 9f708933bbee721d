"""The model file: weights under PyTorch's names, and a JSON object under the metadata key `charlm`.

The object holds `format_version`; `charlm_version`, which wrote it; `config`, a NetworkConfig and in its `text` a
TextConfig; `torch`, the class that takes the recurrent weights, or that PyTorch has none; `vocabulary`, as from
`Vocabulary.to_json`; `training`, the training record; `labels`, the list of the labels that it predicts or reads, if
there are any. The object of a mixture holds `members`, their number K from 2.
The tensors of member k then have the prefix `k.` before PyTorch's names, k from 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array
from charlm.checkpoint.container import convert_write_errors, open_container, write_container
from charlm.checkpoint.storage import Path, printable
from charlm.checkpoint.strict_json import as_object
from charlm.checkpoint.training_record import TrainingRecord
from charlm.config import MAX_MEMBERS, NetworkConfig, TextConfig
from charlm.nn.cells import find_cell
from charlm.nn.layout import Parameters, parameter_layout
from charlm.text.vocabulary import Vocabulary

MAX_WEIGHT = 1e20
"""Largest absolute value of a weight. A sum of such weights over the largest hidden size is finite in float32."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The content of a model file.

    Attributes
    ----------
    config : NetworkConfig
        The shape of the network.
    text : dict
        The fields of a TextConfig.
    vocabulary : Vocabulary
        The tokens.
    tensors : mapping of str to ndarray
        float32 arrays with the names and shapes of `file_layout`.
    training : TrainingRecord
        Text, budget and losses of the training.
    members : int, default 1
        K of a mixture.
    labels : tuple of str, default none
        The labels that the network predicts or reads; as many as its `outputs` or its `conditions`.
    """

    config: NetworkConfig
    text: dict[str, Any]
    vocabulary: Vocabulary
    tensors: Mapping[str, npt.NDArray[Any]]
    training: TrainingRecord = field(default_factory=TrainingRecord)
    members: int = 1
    labels: tuple[str, ...] = ()


def write_model(path: Path, model: ModelFile) -> None:
    """Write a model file atomically.

    Raises
    ------
    CheckpointError
        The file cannot be written, or `read_model` would refuse it. An old file is unchanged.
    """
    with convert_write_errors(path):
        tensors = {name: np.asarray(tensor, np.float32) for name, tensor in model.tensors.items()}
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        check_shapes(shapes, file_layout(model.config, len(model.vocabulary), model.members))
        check_weights(tensors)
        content = to_json(model)
    write_container(path, tensors, "charlm", content)


def read_model(path: Path) -> ModelFile:
    """Read a model file, which may be untrusted.

    Time and memory are bounded by the size of the file, plus about 0.5 GB for the JSON of a hostile one.

    Raises
    ------
    CheckpointError
        The file is invalid.
    """
    with open_container(path, {"F32"}, "make a model with: charlm train FILE") as container:
        if "charlm_state" in container.metadata:
            raise ValueError("it is the state of a training run; the model is in another file of the folder")
        if "charlm" not in container.metadata:
            raise ValueError("it is a safetensors file, but not of charlm")
        content = container.content("charlm")
        vocabulary = Vocabulary.from_json(content.get("vocabulary"))
        config, text = configs_from_json(as_object(content.get("config"), "its config"), vocabulary)
        training = TrainingRecord.from_json(content.get("training"))
        members, labels = members_from_json(content), labels_from_json(content)
        check_labels(config, labels, training)
        check_shapes(container.shapes, file_layout(config, len(vocabulary), members))  # before the data is read
        tensors = container.tensors()
        check_weights(tensors)
    return ModelFile(config, asdict(text), vocabulary, tensors, training, members, labels)


def to_json(model: ModelFile) -> dict[str, Any]:
    """Return the JSON object of a model without its versions; ValueError if it is inconsistent."""
    text = TextConfig(**{"unit": model.vocabulary.unit, **model.text})
    check_text(text, model.vocabulary)
    training = model.training.to_json()
    TrainingRecord.from_json(training)  # refuses what `read_model` would refuse
    # versions of charlm without these fields can read the file
    defaults = ("bidirectional", "tied", "outputs", "encoder_decoder", "conditions")
    config = without_defaults(model.config, *defaults)
    check_labels(model.config, model.labels, model.training)
    mixture = {} if model.members == 1 else {"members": model.members}
    members_from_json(mixture)  # refuses what `read_model` would refuse
    return {
        "config": {**config, "text": without_defaults(text, "task", "remove", "target_unit")},
        **mixture,
        **({"labels": list(model.labels)} if model.labels else {}),
        "torch": find_cell(model.config.cell).in_torch() or "none: PyTorch has no such cell",
        "vocabulary": model.vocabulary.to_json(),
        "training": training,
    }


def configs_from_json(content: dict[str, Any], vocabulary: Vocabulary) -> tuple[NetworkConfig, TextConfig]:
    """Return the two configs in `config`; ConfigError or ValueError if they are invalid."""
    network = {"cell": None, "hidden": None, "layers": None} | content  # no defaults: None is refused
    text = {"unit": vocabulary.unit} | as_object(network.pop("text", {}), "its text config")
    for found, known in ((network, NetworkConfig), (text, TextConfig)):
        if unknown := found.keys() - {one.name for one in fields(known)}:
            raise ValueError(f"its config has a setting that is not known here: {printable(min(unknown), 40)}")
    text_config = TextConfig(**text)
    check_text(text_config, vocabulary)
    return NetworkConfig(**network), text_config


def check_text(text: TextConfig, vocabulary: Vocabulary) -> None:
    """Raise ValueError if `text` contradicts `vocabulary`, or its encoding is not one of text."""
    if text.unit != vocabulary.unit:
        raise ValueError(f"its text config says {text.unit}, its vocabulary {vocabulary.unit}")
    try:
        if not re.fullmatch("[ -~]{1,40}", text.encoding):
            raise LookupError
        "a".encode(text.encoding)  # refuses also the codecs that are not of text, such as hex
    except (LookupError, ValueError, TypeError):
        raise ValueError(f"its encoding {printable(text.encoding, 40)} is not known here") from None


def without_defaults(config: NetworkConfig | TextConfig, *names: str) -> dict[str, Any]:
    """Return the fields of a config, without those of some names that have their defaults."""
    found = asdict(config)
    return {name: value for name, value in found.items() if name not in names or value != getattr(type(config), name)}


def labels_from_json(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of a network, none for most language models; ValueError if they are not a list of them.

    The list has distinct strings.
    """
    labels = content.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its labels are not a list of strings")
    if len(set(labels)) != len(labels):
        raise ValueError("a label occurs twice in its labels")
    return tuple(labels)


def check_labels(config: NetworkConfig, labels: Sequence[str], training: TrainingRecord) -> None:
    """Raise ValueError unless a network predicts or reads as many labels as there are, and their counts are as many."""
    if config.outputs + config.conditions != len(labels):
        verb = "reads" if config.conditions else "predicts"
        raise ValueError(
            f"its network {verb} {config.outputs + config.conditions:,} labels, and it has {len(labels):,}"
        )
    if len(training.label_counts) not in (0, config.conditions):
        raise ValueError(
            f"its network reads {config.conditions:,} labels, and its training record counts "
            f"{len(training.label_counts):,}"
        )


def members_from_json(content: Mapping[str, Any]) -> int:
    """Return the number of members: 1 if the object has no `members`; ValueError if it is not one of a mixture."""
    members = content.get("members", 1)
    if "members" in content and (type(members) is not int or not 2 <= members <= MAX_MEMBERS):
        raise ValueError(f"it says {printable(members, 20)} of its members; a mixture has 2 to {MAX_MEMBERS}")
    assert isinstance(members, int)
    return members


def named_tensors(members: Sequence[Parameters]) -> dict[str, Array]:
    """Return the arrays of all members by their names in the file."""
    prefixes = member_prefixes(len(members))
    return {
        prefix + name: view for prefix, params in zip(prefixes, members, strict=True) for name, view in params.items()
    }


def member_prefixes(members: int) -> list[str]:
    """Return the prefix of the names of each member's tensors: none for a single one."""
    return [""] if members == 1 else [f"{k}." for k in range(members)]


def file_layout(config: NetworkConfig, vocabulary: int, members: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a model file by its name."""
    layout = parameter_layout(config, vocabulary)
    return {prefix + name: shape for prefix in member_prefixes(members) for name, shape in layout.items()}


def check_shapes(shapes: Mapping[str, Any], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless `shapes`, name -> list of int, are the `expected` ones."""
    for name in sorted(expected.keys() | shapes.keys()):
        found = shapes.get(name, "missing")
        needed = list(expected[name]) if name in expected else "no such tensor"
        if found != needed:
            raise ValueError(f"tensor {printable(name, 60)} is {printable(found, 60)}; this network needs {needed}")


def check_weights(tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Raise ValueError if a weight is NaN, infinite, or so large that the network could overflow."""
    for name, tensor in tensors.items():
        with np.errstate(invalid="ignore"):
            is_bounded = tensor.min() >= -MAX_WEIGHT and tensor.max() <= MAX_WEIGHT
        if not is_bounded:
            raise ValueError(f"tensor {name} has a weight that is not finite, or beyond {MAX_WEIGHT:g}")
