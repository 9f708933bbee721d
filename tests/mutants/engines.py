"""Faults of the engines: PyTorch, its ranks, and how a window is cut for it."""

from __future__ import annotations

from tests.mutants.fault import Fault

TORCH = "charlm/engines/torch.py"
SUITE = "tests/engines/test_torch.py"


def fault(what: str, before: str, after: str, test: str) -> Fault:
    """Return a fault of the engine on PyTorch."""
    return Fault(what, TORCH, before, after, (f"{SUITE}::{test}",), needs_torch=True)


FAULTS = (
    fault(
        "the mean over ranks that DistributedDataParallel takes is not undone",
        "(loss * (self.ranks.world_size / max(self.characters, 1.0))).backward()",
        "(loss / max(self.characters, 1.0)).backward()",
        "test_two_ranks_train_as_one",
    ),
    fault(
        "packed segments keep the state of the stream before them",
        "array[columns] * carried for array in ends",
        "array[columns] for array in ends",
        "test_in_lines_and_with_dropout_they_are_those_of_numpy_on_one_thread",
    ),
    fault(
        "spans are not reset",
        "array.float() * window.keep[span.start] for array in ends",
        "array.float() for array in ends",
        "test_the_losses_are_those_of_numpy",
    ),
    fault(
        "the state is not carried to the next window",
        "loss, self._state = self._run(",
        "loss, _ = self._run(",
        "test_the_losses_are_those_of_numpy",
    ),
    fault(
        "all layers use the dropout mask of the first",
        "xs * window.masks[layer][window.streams]",
        "xs * window.masks[0][window.streams]",
        "test_in_lines_and_with_dropout_they_are_those_of_numpy_on_one_thread",
    ),
    fault(
        "half of the state is carried",
        "after.append(tuple(array.detach().float() for array in ends))",
        "after.append(tuple(array.detach().float() * 0.5 for array in ends))",
        "test_the_losses_are_those_of_numpy",
    ),
    fault(
        "the loss is that of the own rank alone",
        "return self.all_reduce_sum(float(loss.detach()))[0] / max(self.characters, 1.0)",
        "return float(loss.detach()) / max(self.characters, 1.0)",
        "test_two_ranks_train_as_one",
    ),
    fault(
        "a rank waits for the others within one call, and no signal is handled",
        "wait_for_workers=False",
        "wait_for_workers=True",
        "test_rank_that_waits_for_another_responds_to_a_signal",
    ),
    fault(
        "parameters are not copied to a device with its own memory",
        "                    tensor.data.copy_(torch.from_numpy(self.params[name]))",
        "                    pass",
        "test_device_with_its_own_memory_trains_to_the_same_losses",
    ),
    fault(
        "all ranks of a machine take its first GPU",
        'torch.device(name, ranks.local_rank) if name == "cuda"',
        'torch.device(name, 0) if name == "cuda"',
        "test_each_rank_takes_the_gpu_of_its_local_rank",
    ),
    Fault(
        "a stream that starts at the first step of a window keeps its state",
        "charlm/engines/segments.py",
        "carried = (firsts == 0) & ~starts[0, columns]",
        "carried = firsts == 0",
        ("tests/engines/test_segments.py::test_every_segment_begins_where_a_stream_starts_and_is_read_in_order",),
    ),
    Fault(
        "a rank does not wait for the others",
        "charlm/engines/ranks.py",
        "return f\"rank {', '.join(map(str, ranks))} of {self.world_size}\" if ranks else \"\"",
        'return ""',
        ("tests/engines/test_ranks.py::test_missing_ranks_are_named",),
    ),
)
