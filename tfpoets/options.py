"""Nested dataclasses of options, set by the names of their fields."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar, overload

from tfpoets.errors import OptionError, closest_match

Options = TypeVar("Options")
# The names of the fields that lead to an option, outermost first: ("split", "seed").
OptionPath = tuple[str, ...]


@overload
def with_options(options: type[Options], values: Mapping[str, Any], optional_groups: Mapping[str, type] = ...
                 ) -> Options: ...
@overload
def with_options(options: Options, values: Mapping[str, Any], optional_groups: Mapping[str, type] = ...
                 ) -> Options: ...


def with_options(options: Any, values: Mapping[str, Any],
                 optional_groups: Mapping[str, type] = MappingProxyType({})) -> Any:
    """Return a copy of nested options with new values, which are given by field name.

    A name is looked up in the fields of `options`, then in the fields of the dataclasses that these hold, and so on;
    the first match is used. A group of options that is itself among the values (`head=SGDOptions()`) is
    searched as well. Each changed dataclass is created once, so that its checks apply to all new values together.

    Args:
        options: A frozen dataclass, or the class itself, for the default values of its fields.
        values: The new values, by option name.
        optional_groups: Dataclasses that fields of `options` may hold but do not hold by default, by field name. If an
            unknown name is an option of one of these, the error message says how to set it.

    Raises:
        OptionError: There is no option with one of the names, or a value is invalid.
    """
    paths = _find_paths(options, values)
    for name in values:
        if name not in paths:
            raise _unknown_option(name, paths, optional_groups)
    return _replace_values(options, {paths[name]: value for name, value in values.items()})


def _unknown_option(name: str, known_names: Iterable[str], optional_groups: Mapping[str, type]) -> OptionError:
    examples = [f"{group}={group_class.__name__}({name}=...)" for group, group_class in optional_groups.items()
                if any(field.name == name for field in fields(group_class))]
    if examples:
        return OptionError(f"The option `{name}` belongs to a group of options that is not in use.",
                           f"Set it with {' or '.join(examples)}.")
    guess = closest_match(name, known_names)
    return OptionError(f"There is no option `{name}`" + (f"; did you mean `{guess}`?" if guess else "."))


def _find_paths(options: Any, values: Mapping[str, Any]) -> dict[str, OptionPath]:
    """Return the path of each option, found breadth first: if two share a name, the outer one is used."""
    paths: dict[str, OptionPath] = {}
    level: list[tuple[OptionPath, Any]] = [((), options)]
    while level:
        next_level = []
        for parent, group in level:
            for name, value in _field_values(group):
                if name in paths:
                    continue
                paths[name] = (*parent, name)
                value = values.get(name, value)
                if _is_group(value):
                    next_level.append((paths[name], value))
        level = next_level
    return paths


def _field_values(options: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each field; for a class, the default value."""
    for field in fields(options):
        yield field.name, _default(field) if isinstance(options, type) else getattr(options, field.name)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _is_group(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _replace_values(options: Any, values: Mapping[OptionPath, Any]) -> Any:
    """Return the options with new values at some paths; inner groups are created before those that hold them."""
    changed = {path[0]: value for path, value in values.items() if len(path) == 1}
    current = dict(_field_values(options))
    for name in dict.fromkeys(path[0] for path in values if len(path) > 1):
        inner = {path[1:]: value for path, value in values.items() if path[0] == name and len(path) > 1}
        changed[name] = _replace_values(changed.get(name, current[name]), inner)
    return options(**changed) if isinstance(options, type) else replace(options, **changed)
