"""Faults of models on several threads, of the BLAS's threads, and of the cores and memory that may be used."""

from __future__ import annotations

from tests.mutants.fault import Fault

MODEL = "tests/test_threads.py::test_left_to_right_model_on_threads_equals_serial_results"
MACHINE = "tests/test_machine.py"
BLAS = "tests/kernels/test_threads.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "all threads work in one workspace",
        "charlm/kernels/workspace.py", "work = self._free.pop()", "work = self._free[0]",
        (MODEL,),
    ),
    Fault(
        "a model keeps a workspace for every thread that ever used it",
        "charlm/kernels/workspace.py", "deque(maxlen=usable_cores())", "deque()",
        ("tests/test_threads.py::test_model_keeps_at_most_one_workspace_per_core",),
    ),
    Fault(
        "logits of a network of both directions are computed from a workspace that was handed back",
        "charlm/inference/prepared_bidirectional.py",
        "            return self._head.logits(rows(both))",
        "        return self._head.logits(rows(both))",
        ("tests/test_threads.py::test_released_workspace_is_not_read",),
    ),
    Fault(
        "log-probabilities of a window are computed from a workspace that was handed back",
        "charlm/inference/prepared_network.py",
        "                logits = self.head.logits(rows(hs))",
        "            logits = self.head.logits(rows(hs))",
        ("tests/test_threads.py::test_released_workspace_is_not_read",),
    ),
    Fault(
        "the first thread that leaves lifts the limit of the BLAS",
        "charlm/kernels/threads.py", "elif not self._inside:", "else:",
        (f"{BLAS}::test_blas_limit_ends_when_the_last_thread_leaves",),
    ),
    Fault(
        "each thread restores the threads of the BLAS that it found",
        "charlm/kernels/threads.py", "set_threads(library, self._initial_counts[k])", "set_threads(library, own[k])",
        (f"{BLAS}::test_blas_limit_may_be_ended_by_another_thread",),
    ),
    Fault(
        "a limit of the BLAS is not set where another thread has set one before",
        "charlm/kernels/threads.py",
        "    release(force=True)\n    library.set_num_threads(count)\n    release(force=True)\n",
        "    library.set_num_threads(count)\n",
        (f"{BLAS}::test_blas_limit_holds_after_another_thread_set_a_limit",),
    ),
    Fault(
        "a limit of the BLAS is the setting thread's own",
        "charlm/kernels/threads.py",
        "    library.set_num_threads(count)\n    release(force=True)\n",
        "    library.set_num_threads(count)\n",
        (f"{BLAS}::test_limit_blas_lets_other_threads_set_a_limit",),
    ),
    Fault(
        "numbers of threads that a library has for each thread are not restored",
        "charlm/kernels/threads.py", "for k, count in enumerate(counts) if count != 1", "for k, count in ()",
        (f"{BLAS}::test_blas_limit_restores_counts_per_thread",),
    ),
    Fault(
        "the threads of parallel_map do not limit the BLAS",
        "charlm/kernels/threads.py", "pool.map(call, items)", "pool.map(function, items)",
        (f"{BLAS}::test_parallel_map_limits_a_library_with_a_number_per_thread",),
    ),
    Fault(
        "a run limits the BLAS for good",
        "charlm/engines/numpy_engine.py",
        "stack.enter_context(blas_on_one_thread)",
        "blas_on_one_thread.__enter__()",
        (f"{BLAS}::test_blas_limit_after_overlapping_runs_is_restored",),
    ),
    Fault(
        "--threads does not limit NumPy's products",
        "charlm/cli/options.py", "limit_blas(cores_for(threads))", "cores_for(threads)",
        ("tests/cli/test_scoring_commands.py::TestThreads",),
    ),
    Fault(
        "a limit for good raises the number of threads",
        "charlm/kernels/threads.py", "if library.num_threads > threads:", "if threads:",
        (f"{BLAS}::test_limit_blas_only_lowers_the_count",),
    ),
    Fault(
        "CPU affinity does not count",
        "charlm/machine.py", "return len(os.sched_getaffinity(0))", "return os.cpu_count() or 1",
        (f"{MACHINE}::test_allowed_cores_follow_the_affinity",),
    ),
    Fault(
        "a quota is rounded down",
        "charlm/machine.py", "math.ceil(quota)", "math.floor(quota)",
        (f"{MACHINE}::test_usable_cores_are_the_minimum_of_affinity_and_quota",),
    ),
    Fault(
        "the quota of the innermost group alone counts",
        "charlm/machine.py", "for folder in (inner, *inner.parents):", "for folder in (inner,):",
        (f"{MACHINE}::test_cpu_quota_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "the largest quota counts",
        "charlm/machine.py", "return min(quotas, default=None)", "return max(quotas, default=None)",
        (f"{MACHINE}::test_cpu_quota_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "no quota (-1) counts as one",
        "charlm/machine.py", "if quota > 0:", "if quota:",
        (f"{MACHINE}::test_cpu_quota_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "a group that lies outside the container's view is sought above the mount",
        "charlm/machine.py", 'if part not in ("", "..")', 'if part != ""',
        (f"{MACHINE}::test_cpu_quota_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "cached files count as used memory",
        "charlm/machine.py", "return float(max_bytes - used + cached)", "return float(max_bytes - used)",
        (f"{MACHINE}::test_free_group_memory_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "caches of a group of the first version are counted without its children",
        "charlm/machine.py", '"memory.usage_in_bytes", "total_")', '"memory.usage_in_bytes", "")',
        (f"{MACHINE}::test_free_group_memory_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "no memory limit, of the first version, is a limit",
        "charlm/machine.py", "if max_bytes < UNLIMITED_BYTES:", "if max_bytes:",
        (f"{MACHINE}::test_free_group_memory_is_the_lowest_of_all_groups",),
    ),
    Fault(
        "memory limits of control groups do not count",
        "charlm/training/memory.py", "_of_machine(), free_group_memory(), ", "_of_machine(), ",
        ("tests/reliability/test_memory.py::test_smallest_limit_counts",),
    ),
    Fault(
        "score ignores --threads",
        "charlm/cli/score.py", "context=context, threads=threads)", "context=context)",
        ("tests/cli/test_scoring_commands.py::TestThreads",),
    ),
)  # fmt: skip
