"""Models and training states as files: written atomically, and validated when they are read."""

from charlm.checkpoint.model_file import ModelFile, labels_from_json, named_tensors, read_model, write_model
from charlm.checkpoint.state_file import is_state, read_state, write_state
from charlm.checkpoint.storage import atomic_write, check_writable, discard_leftovers, printable
from charlm.checkpoint.training_record import TrainingRecord

__all__ = [
    "ModelFile",
    "TrainingRecord",
    "atomic_write",
    "check_writable",
    "discard_leftovers",
    "is_state",
    "labels_from_json",
    "named_tensors",
    "printable",
    "read_model",
    "read_state",
    "write_model",
    "write_state",
]
