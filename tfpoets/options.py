"""Options by name: dataclasses of options that hold others, set by the flat names of their fields."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar, overload

from tfpoets.errors import OptionError, closest_match

Options = TypeVar("Options")
# The names of the fields that lead to an option: ("split", "seed").
Place = tuple[str, ...]


@overload
def with_options(options: type[Options], values: Mapping[str, Any], others: Mapping[str, type] = ...) -> Options: ...
@overload
def with_options(options: Options, values: Mapping[str, Any], others: Mapping[str, type] = ...) -> Options: ...


def with_options(options: Any, values: Mapping[str, Any], others: Mapping[str, type] = MappingProxyType({})) -> Any:
    """Return options with other values, each given by the name of its field alone.

    A name is looked for among the fields of `options`, then in the options that these hold, and so on; the first one
    found is meant. Options that are given whole (`head=SGDOptions()`) are looked into as well. Whatever holds a
    changed value is made once, so that checks of several fields see all new values together.

    Args:
        options: a frozen dataclass, or its class, whose fields then have their defaults.
        values: by name.
        others: dataclasses that `options` can hold, but does not hold unless they are given, by the name of the field;
            an error names those that have an option.

    Raises:
        OptionError: there is no such option, or its value is not possible.
    """
    places = _places(options, values)
    for name in values:
        if name not in places:
            raise _unknown(name, places, others)
    return _made(options, {places[name]: value for name, value in values.items()})


def _unknown(name: str, places: Iterable[str], others: Mapping[str, type]) -> OptionError:
    holders = [f"{place}={kind.__name__}({name}=...)" for place, kind in others.items()
               if any(field.name == name for field in fields(kind))]
    if holders:
        return OptionError(f"There is no option `{name}` unless it is asked for what it belongs to.",
                           f"Give {' or '.join(holders)}.")
    guess = closest_match(name, places)
    return OptionError(f"There is no option `{name}`" + (f"; did you mean `{guess}`?" if guess else "."))


def _places(options: Any, values: Mapping[str, Any]) -> dict[str, Place]:
    """Where each option is, breadth first."""
    places: dict[str, Place] = {}
    level: list[tuple[Place, Any]] = [((), options)]
    while level:
        deeper = []
        for above, holder in level:
            for name, held in _held(holder):
                if name in places:
                    continue
                places[name] = (*above, name)
                held = values.get(name, held)
                if _holds_options(held):
                    deeper.append((places[name], held))
        level = deeper
    return places


def _held(options: Any) -> Iterator[tuple[str, Any]]:
    for field in fields(options):
        yield field.name, _default(field) if isinstance(options, type) else getattr(options, field.name)


def _default(field: Field) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _holds_options(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _made(options: Any, values: Mapping[Place, Any]) -> Any:
    """The options with the values at these places, from the innermost out."""
    changed = {place[0]: value for place, value in values.items() if len(place) == 1}
    held = dict(_held(options))
    for name in dict.fromkeys(place[0] for place in values if len(place) > 1):
        inner = {place[1:]: value for place, value in values.items() if place[0] == name and len(place) > 1}
        changed[name] = _made(changed.get(name, held[name]), inner)
    return options(**changed) if isinstance(options, type) else replace(options, **changed)
