"""A configuration that notes which of its hyperparameters are read."""

from __future__ import annotations

import copy
from collections.abc import Callable, ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from typing_extensions import override

from lightning_primo.problem.trial import Config


class WatchedConfig(dict[str, Any]):
    """A copy of a configuration that notes what is read of it; whoever goes through all of it has read all.

    Args:
        config: The configuration.
        read: Where the names go.

    >>> read: set[str] = set()
    >>> WatchedConfig({"lr": 0.1, "width": 4}, read)["lr"], read
    (0.1, {'lr'})
    """

    def __init__(self, config: Config, read: set[str]) -> None:
        super().__init__(config)
        self.read = read

    def again(self) -> WatchedConfig:
        """Another one with copies of the values, for a function that may change them; it notes in the same place."""
        return WatchedConfig({name: copy.deepcopy(value) for name, value in super().items()}, self.read)

    def _noted(self, view: Callable[[], Any]) -> Any:
        self.read.update(super().keys())
        return view()

    @override
    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    @override
    def __contains__(self, name: object) -> bool:
        self.read.update({name} if isinstance(name, str) else ())
        return super().__contains__(name)

    @override
    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    @override
    def pop(self, name: str, *default: Any) -> Any:
        self.read.add(name)
        return super().pop(name, *default)

    # dict(config), {**config}, f(**config) and copies come here, as one of a plain dict does not.

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._noted(super().keys))

    @override
    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self._noted(super().keys)  # type: ignore[no-any-return]

    @override
    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return self._noted(super().values)  # type: ignore[no-any-return]

    @override
    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self._noted(super().items)  # type: ignore[no-any-return]

    @override
    def copy(self) -> dict[str, Any]:
        return dict(self._noted(super().items))

    @override
    def popitem(self) -> tuple[str, Any]:
        return self._noted(super().popitem)  # type: ignore[no-any-return]
