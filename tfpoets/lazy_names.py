"""Import the public names of a package when they are first used (PEP 562), so that commands start faster."""
from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # `typing` is not imported, because this module must be imported fast
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_names(package: str, names: Mapping[str, str]
               ) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for the `__init__` module of a package.

    In subpackages, the same names are imported under TYPE_CHECKING, for mypy and import-linter; a test compares both
    lists.

    Args:
        package: The `__name__` of the package.
        names: For each module, relative to the package, its public names, separated by spaces.
    """
    modules = {name: module for module, listed in names.items() for name in listed.split()}

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name], package), name)
        setattr(sys.modules[package], name, value)  # the next access does not call this function
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get_attribute, list_names, sorted(modules)
