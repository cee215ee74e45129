"""What the signature of a module's `forward` says of the inputs that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_origin


def binds(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    """Whether a call with these arguments is one of the signature."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def attributes_for(signature: inspect.Signature, batch: Any) -> dict[str, Any] | None:
    """The attributes that arguments name; None where the object is the only argument, or one of them is missing."""
    if binds(signature, batch):
        return None
    named = {name: getattr(batch, name, None) for name in signature.parameters}
    inputs = {name: value for name, value in named.items() if value is not None}
    return inputs if binds(signature, **inputs) else None


def takes_batch(parameter: inspect.Parameter) -> bool:
    """Whether an argument is a whole batch, by its name or annotation."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        is_dict = annotation.strip("'\"").partition("[")[0].rpartition(".")[2] in (
            "dict",
            "Dict",
            "Mapping",
            "MutableMapping",
        )
    else:
        origin = get_origin(annotation) or annotation
        is_dict = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_dict or (parameter.name == "batch" and annotation is parameter.empty)
