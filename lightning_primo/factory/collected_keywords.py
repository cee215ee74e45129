"""What a class does with the keywords that its ``__init__`` collects in ``**kwargs``.

Many projects write ``def __init__(self, lr, **kwargs)`` so that they can be called with all arguments of a program, and
never look at `kwargs`. A hyperparameter that lands there changes nothing, and nobody is told. The source says whether
that can be.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

_FRAME_READERS = frozenset({"locals", "vars", "eval", "exec", "_getframe", "currentframe"})


def are_read(init: Callable[..., Any], name: str) -> bool:
    """Whether an ``__init__`` reads the dictionary `name` of the keywords that it collects; True where that is unknown.

    What `save_hyperparameters` takes from the frame is not seen here, see `saved_names`.
    """
    if hasattr(init, "__wrapped__"):  # what wraps it may read them
        return True
    tree = _source(init)
    return tree is None or any(_name(node) in {name, *_FRAME_READERS} for node in ast.walk(tree))


def saved_names(classes: Iterable[type]) -> frozenset[str] | None:
    """The hyperparameters that classes read as ``hparams.NAME``, ``hparams["NAME"]`` or ``hparams.get("NAME")``.

    Args:
        classes: Those of an object, without those of Lightning.

    Returns:
        The names, none where no class saves hyperparameters; None where any may be read, as in ``Net(**self.hparams)``.
    """
    names: set[str] = set()
    saves = False
    for cls in classes:
        tree = _source(cls)
        if tree is None:
            return None
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            saves |= _name(node) == "save_hyperparameters"
            if _name(node) in {"hparams", "hparams_initial"}:
                read = _entry(node, parents)
                if read is None:
                    return None
                names.add(read)
    return frozenset(names) if saves else frozenset()


def _entry(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str | None:
    """The name of the one entry that is read of the dictionary at `node`; None if it may be more."""
    parent = parents.get(node)
    key: ast.AST | None = None
    if isinstance(parent, ast.Attribute):
        call = parents.get(parent)
        if not (isinstance(call, ast.Call) and call.func is parent):
            return parent.attr
        key = call.args[0] if parent.attr in {"get", "pop"} and call.args else None
    elif isinstance(parent, ast.Subscript) and parent.value is node:
        key = parent.slice
    return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None


def _name(node: ast.AST) -> str | None:
    """What a node of an expression is called."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _source(definition: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(definition)))
    except (OSError, TypeError, SyntaxError):  # typed in, generated, or in a language of its own
        return None
