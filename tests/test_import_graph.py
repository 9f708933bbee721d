"""The import graph of the package has no cycle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "charlm"


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """Return the package modules that a file imports, also inside functions and under `TYPE_CHECKING`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            targets = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {target if target in modules else node.module for target in targets}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & modules.keys()
    return found


def import_graph() -> dict[str, set[str]]:
    """Return module -> the modules that it imports."""
    modules = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: imports_of(path, modules) for name, path in modules.items()}


def test_import_graph_has_no_cycle() -> None:
    graph = import_graph()
    assert "charlm.nn.network" in graph["charlm.inspected_model"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules
