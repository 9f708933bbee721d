"""Faults of the engines: PyTorch, process groups, and how a window is cut for PyTorch."""

from __future__ import annotations

from tests.mutants.fault import Fault

MODEL = "charlm/engines/torch_model.py"
ENGINE = "charlm/engines/torch_engine.py"
SUITE = "tests/engines/test_torch_engine.py"
LOOP = "tests/training/test_trainer.py::test_training_equals_naive_loop"


def fault(what: str, file: str, before: str, after: str, test: str) -> Fault:
    """Return a fault of the PyTorch engine."""
    return Fault(what, file, before, after, (f"{SUITE}::{test}",), needs_torch=True)


def device_fault(what: str, file: str, before: str, after: str, test: str) -> Fault:
    """Return a fault of what stays on the device."""
    return Fault(what, file, before, after, (f"tests/engines/test_torch_device.py::{test}",), needs_torch=True)


SIGNALS = "tests/reliability/test_signals.py::"

FAULTS = (
    fault(
        "the mean over ranks that DistributedDataParallel takes is not undone",
        ENGINE,
        "scale = self._group.world_size / characters.clamp(min=1.0)",
        "scale = 1 / characters.clamp(min=1.0)",
        "test_two_ranks_train_as_one",
    ),
    fault(
        "packed segments start from the carried state after a reset",
        MODEL,
        "array[:, segments.columns] * segments.carried for array in carried",
        "array[:, segments.columns] for array in carried",
        "test_losses_in_lines_with_dropout_are_those_of_numpy_on_one_thread",
    ),
    fault(
        "streams are not reset at the start of a chunk",
        MODEL,
        "array.float() if reset_mask is None else array.float() * reset_mask for array in last",
        "array.float() for array in last",
        "test_losses_are_those_of_numpy",
    ),
    fault(
        "the gradients of dropped weights are not dropped",
        MODEL,
        "    torch._foreach_mul_([weight.grad for weight in weights], list(masks))\n",
        "",
        "test_losses_in_lines_with_dropout_are_those_of_numpy_on_one_thread",
    ),
    fault(
        "the state is not carried to the next window",
        ENGINE,
        "loss, self._state = self._run(",
        "loss, _ = self._run(",
        "test_losses_are_those_of_numpy",
    ),
    fault(
        "all layers use the dropout mask of the first",
        MODEL,
        "drop(xs, window.output_masks[index], window.streams)",
        "drop(xs, window.output_masks[0], window.streams)",
        "test_losses_in_lines_with_dropout_are_those_of_numpy_on_one_thread",
    ),
    device_fault(
        "the head reads the outputs of the reverse stack in its order",
        "charlm/engines/torch_window.py",
        "[:: -1 if k else 1]",
        "[::1]",
        "test_evaluator_measures_the_losses_of_a_bidirectional_network",
    ),
    fault(
        "both stacks of a bidirectional network use the same dropout masks",
        "charlm/engines/torch_window.py",
        "output_masks[k * layers : (k + 1) * layers]",
        "output_masks[:layers]",
        "test_losses_of_bidirectional_networks_are_those_of_numpy",
    ),
    fault(
        "half of the state is carried",
        MODEL,
        "torch.cat(arrays).detach().float() for",
        "torch.cat(arrays).detach().float() * 0.5 for",
        "test_losses_are_those_of_numpy",
    ),
    fault(
        "the loss is that of this rank alone",
        ENGINE,
        "all_losses = self._group.all_reduce_sum(*own_losses)",
        "all_losses = own_losses",
        "test_two_ranks_train_as_one",
    ),
    fault(
        "a rank waits for the others within one call, and no signal is handled",
        "charlm/engines/torch_group.py",
        "wait_for_workers=False",
        "wait_for_workers=True",
        "test_rank_that_waits_for_another_responds_to_a_signal",
    ),
    device_fault(
        "each step waits for its loss",
        ENGINE,
        "self._pending.append((loss.detach(), norm, characters))",
        "self._pending.append((torch.tensor(loss.item()), norm, characters))",
        "test_steps_read_nothing_from_the_device",
    ),
    device_fault(
        "PyTorch clips nothing",
        "charlm/engines/torch_update.py",
        "(self._train.clip / norm).clamp(max=1.0)",
        "torch.ones(())",
        "test_update_equals_that_of_numpy",
    ),
    device_fault(
        "the evaluator reads the weights and not their average",
        ENGINE,
        "TorchEvaluator(self._averaged,",
        "TorchEvaluator(self._model,",
        "test_evaluator_measures_the_losses_of_numpy",
    ),
    device_fault(
        "the evaluator returns the losses in the order of the segments",
        "charlm/engines/torch_evaluator.py",
        "if order is not None:",
        "if False:",
        "test_evaluator_measures_the_losses_of_numpy",
    ),
    device_fault(
        "a snapshot on the device changes with the weights",
        ENGINE,
        "[tensor.clone() for tensor in own]",
        "own",
        "test_state_of_the_engine_returns_from_a_snapshot_and_from_arrays",
    ),
    device_fault(
        "each rank trusts its own speed",
        "charlm/training/probe.py",
        "slowest = -group.all_reduce_max(-own)[0]",
        "slowest = own",
        "test_ranks_are_as_fast_as_the_slowest_with_its_own_device",
    ),
    fault(
        "a rank divides by the number of its own characters",
        ENGINE,
        "                distributed.all_reduce(characters)\n",
        "                pass\n",
        "test_two_ranks_train_as_one",
    ),
    fault(
        "all ranks of a machine take its first GPU",
        ENGINE,
        'torch.device(name, group.local_rank) if name == "cuda"',
        'torch.device(name, 0) if name == "cuda"',
        "test_each_rank_takes_the_gpu_of_its_local_rank",
    ),
    Fault(
        "a stream that starts at the first step of a window keeps its state",
        "charlm/engines/segments.py",
        "carried = (firsts == 0) & ~is_reset[0, columns]",
        "carried = firsts == 0",
        ("tests/engines/test_segments.py::test_segments_begin_at_resets_and_cover_the_window_in_order",),
    ),
    Fault(
        "a rank does not wait for the others",
        "charlm/engines/process_group.py",
        'return f"rank {\', \'.join(map(str, ranks))} of {world_size}" if ranks else ""',
        'return ""',
        ("tests/engines/test_process_group.py::test_missing_ranks_are_named",),
    ),
    Fault(
        "each window starts from a zero state",
        "charlm/engines/worker.py",
        "loss, new_state = network.loss_and_grads(memory.params, grads, window, state, work, rng)",
        "loss, new_state = network.loss_and_grads("
        "memory.params, grads, window, network.zero_state(streams.stop - streams.start, work.dtype), work, rng)",
        (LOOP,),
    ),
    Fault(
        "the state after a window is lost",
        "charlm/engines/worker.py",
        "            array[...] = value  # a view of the memory\n",
        "            pass\n",
        (LOOP,),
    ),
    Fault(
        "all shards use the same dropout mask",
        "charlm/engines/worker.py",
        'int(arrays["window"][0]), shard]',
        'int(arrays["window"][0]), 0]',
        (LOOP,),
    ),
    Fault(
        "dropout has no effect",
        "charlm/engines/worker.py",
        "rng = np.random.default_rng(seeds) if network.config.has_dropout else None",
        "rng = None",
        (LOOP,),
    ),
    Fault(
        "the gradient is that of the last micro-batch",
        "charlm/engines/worker.py",
        "            total.flat += grads.flat\n",
        "            total.flat[...] = grads.flat\n",
        ("tests/engines/test_numpy_engine.py::test_gradient_in_micro_batches_is_the_same",),
    ),
    Fault(
        "the mean counts padding",
        "charlm/engines/shared_memory.py",
        "total = float(targets.size if weights is None else weights.sum())",
        "total = float(targets.size)",
        (LOOP,),
    ),
    Fault(
        "the gradient is that of the first shard",
        "charlm/engines/numpy_engine.py",
        '            self.grads += self._memory.arrays[f"grads{shard}"]\n',
        "            pass\n",
        (LOOP,),
    ),
    Fault(
        "members respond to signals to all processes",
        "charlm/training/member.py",
        "signal.signal(getattr(signal, name), signal.SIG_IGN)",
        "signal.signal(getattr(signal, name), signal.SIG_DFL)",
        (f"{SIGNALS}test_signals_to_all_processes_of_an_ensemble_stop_it_like_one_to_the_main_process",),
    ),
    Fault(
        "members finish their steps after a second signal",
        "charlm/training/members.py",
        "                process.kill()\n",
        "                pass\n",
        (f"{SIGNALS}test_second_signal_stops_at_once_with_intact_files",),
    ),
    Fault(
        "members of a killed run print a traceback",
        "charlm/training/member.py",
        "with suppress(EOFError, pickle.UnpicklingError, BrokenPipeError):",
        "with suppress(EOFError):",
        ("tests/reliability/test_kills.py::test_killed_run_ends_its_workers_and_resumes",),
    ),
)
