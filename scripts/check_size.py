#!/usr/bin/env python3
"""The size budget of the three packages, and no import cycles between their modules.

A function's length is from its ``def`` line to its last line, decorators not included; a nested function counts on its
own and within the outer one. Only imports that run when a module is imported make a cycle: those inside functions and
under ``if TYPE_CHECKING`` do not. Importing ``a.b`` does not count as importing the package ``a``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 50
MEAN_FUNCTION_LINES = 12

IMPORT_ROOTS = {"busfn": ".", "services": "services", "cli": "cli"}
"""Folders that are checked, and the folder each one's modules are imported from."""
COMMANDS = "cli/busfn_cli/commands/"
"""Typer commands in this folder may be long: their parameters are declarations, one a line."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Imports = dict[str, dict[str, int]]
"""For each module the modules it imports, and on which line."""


@dataclass(frozen=True)
class Module:
    """One parsed file."""

    path: str
    """Relative to the repository."""
    name: str
    lines: int
    tree: ast.Module

    @property
    def package(self) -> str:
        """What relative imports start from."""
        return self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]

    def functions(self) -> list[FunctionNode]:
        return [node for node in ast.walk(self.tree) if isinstance(node, FunctionNode)]


def read_modules(root: Path) -> list[Module]:
    """All modules of the checked folders, in a fixed order."""
    return [
        read_module(root, path, root / import_root)
        for folder, import_root in IMPORT_ROOTS.items()
        for path in sorted((root / folder).rglob("*.py"))
    ]


def read_module(root: Path, path: Path, import_root: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(root).as_posix()
    name = ".".join(path.relative_to(import_root).with_suffix("").parts).removesuffix(".__init__")
    return Module(relative, name, len(text.splitlines()), ast.parse(text, relative))


def length(function: FunctionNode) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def long_files(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.lines > FILE_LINES:
            yield f"{module.path}:{FILE_LINES + 1}: file has {module.lines} lines, over {FILE_LINES}"


def long_functions(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for function in module.functions():
            lines = length(function)
            if lines > FUNCTION_LINES and not is_command(module, function):
                yield f"{module.path}:{function.lineno}: {function.name} has {lines} lines, over {FUNCTION_LINES}"


def is_command(module: Module, function: FunctionNode) -> bool:
    """Whether it is a Typer command: decorated with ``@app.command()`` or ``@app.callback()``."""
    if not module.path.startswith(COMMANDS):
        return False
    makers = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return any(isinstance(maker, ast.Attribute) and maker.attr in ("command", "callback") for maker in makers)


def mean_length(modules: Sequence[Module]) -> float:
    lengths = [length(function) for module in modules for function in module.functions()]
    return sum(lengths) / max(1, len(lengths))


def long_mean(modules: Sequence[Module]) -> Iterator[str]:
    mean = mean_length(modules)
    if mean > MEAN_FUNCTION_LINES:
        yield f".:0: functions have {mean:.2f} lines on average, over {MEAN_FUNCTION_LINES}"


def import_cycles(modules: Sequence[Module]) -> Iterator[str]:
    """One line for each cycle: found, reported, and cut where it was reported, until none is left."""
    paths = {module.name: module.path for module in modules}
    imports = {module.name: imports_of(module, paths) for module in modules}
    while cycle := find_cycle(imports):
        importer, imported = cycle[:2]
        yield f"{paths[importer]}:{imports[importer].pop(imported)}: import cycle {' -> '.join(cycle)}"


def find_cycle(imports: Imports) -> list[str]:
    """Modules of which each imports the next, the first one again at the end; empty when there is no cycle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle[::-1]  # it has each module before those that import it
    return []


def imports_of(module: Module, known: dict[str, str]) -> dict[str, int]:
    """The known modules that it imports when it is imported, and on which line first."""
    found: dict[str, int] = {}
    for node in sorted(import_statements(module.tree), key=lambda node: node.lineno):
        for name in imported_names(node, module, known):
            if name in known:
                found.setdefault(name, node.lineno)
    return found


def import_statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Those that run when the module is imported."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and is_type_checking(node.test):
            waiting.extend(node.orelse)
        elif not isinstance(node, FunctionNode):
            waiting.extend(ast.iter_child_nodes(node))


def is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def imported_names(node: ast.Import | ast.ImportFrom, module: Module, known: dict[str, str]) -> Iterator[str]:
    """Full names of the modules in an import statement: ``from a import b`` means ``a.b`` if that is a module."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        yield from names
        return
    source = from_module(node, module)
    for name in names:
        deeper = f"{source}.{name}"
        yield deeper if deeper in known else source


def from_module(node: ast.ImportFrom, module: Module) -> str:
    """The module after ``from``, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def main(root: Path) -> int:
    """Print violations and a summary; the exit status tells whether there were any."""
    try:
        modules = read_modules(root)
    except SyntaxError as error:
        print(f"{error.filename}:{error.lineno}: {error.msg}")
        return 1
    checks = (long_files, long_functions, long_mean, import_cycles)
    violations = [violation for check in checks for violation in check(modules)]
    for violation in violations:
        print(violation)
    functions = sum(len(module.functions()) for module in modules)
    size = f"{len(modules)} files, {functions} functions of {mean_length(modules):.2f} lines on average"
    print(f"{size}: {len(violations)} violation{'' if len(violations) == 1 else 's'}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
