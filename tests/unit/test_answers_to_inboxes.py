"""Nobody publishes for a stranger: only one module of ours sends to a reply subject, and it checks it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import busfn_services

HELPER = "answering.py"
ROOT = Path(next(iter(busfn_services.__path__)))


def publishing(tree: ast.AST) -> Iterator[str]:
    """What is published to, wherever that is somebody's reply subject."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "publish":
            subject = ast.unparse(node.args[0]) if node.args else ""
            if subject.endswith(("reply", "inbox")):
                yield ast.unparse(node)


def test_answers_leave_through_one_module():
    modules = [path for path in ROOT.rglob("*.py") if path.name != HELPER]
    assert len(modules) > 50
    found = {path.name: list(publishing(ast.parse(path.read_text()))) for path in modules}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_the_helper_itself_would_be_found():
    assert list(publishing(ast.parse("bus.publish(message.reply, b'')")))
    assert list(publishing(ast.parse((ROOT / HELPER).read_text())))
