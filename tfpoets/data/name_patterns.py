r"""Patterns that find the label or the group of a photo in its file name.

A pattern is the text of a file name with placeholders, `{index}_{label}.png`, or a regular expression with a group of
the same name, `^\d+_(?P<label>[a-z]+)`.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from tfpoets.errors import OptionError

from .formats import has_photo_suffix

_PLACEHOLDER = re.compile(r"\{([a-z_]\w*)\}|(\*)", re.IGNORECASE)


@dataclass(frozen=True)
class NamePattern:
    """A compiled pattern.

    Attributes:
        text: The pattern as the user wrote it.
        group: The name or number of the regular expression's capturing group that matches the label or group of a
            photo.
        regex: The regular expression.
        n_components: The number of path components that the pattern matches. 0 for a regular expression, which is
            searched for in the file name, or, if it contains a slash, in the relative path.
        has_suffix: Whether the pattern includes the suffix of the file name.
    """

    text: str
    group: str | int
    regex: re.Pattern[str]
    n_components: int
    has_suffix: bool

    def find(self, relative_path: PurePath) -> str:
        """Return the label or group of a photo; empty if its name does not match the pattern.

        Args:
            relative_path: The path of the photo, relative to the photo folder.
        """
        if not self.n_components:
            match = self.regex.search(relative_path.as_posix() if "/" in self.text else relative_path.name)
        else:
            if not self.has_suffix and has_photo_suffix(relative_path):
                relative_path = relative_path.with_suffix("")
            components = relative_path.parts[-self.n_components:]
            match = self.regex.fullmatch("/".join(components))
        return (match[self.group] or "") if match else ""


def compile_pattern(option: str, text: str, field: str) -> NamePattern:
    """Compile a pattern.

    Args:
        option: The name of the option, for messages.
        text: A file name, or the last components of the path, with the placeholder `{label}` (or `{group}`), and
            optionally `{index}` for digits and `*` for any characters other than a slash; or a regular expression.
        field: What the pattern finds: "label" or "group".

    Raises:
        OptionError: The pattern has no such placeholder, or is not a regular expression.
    """
    if f"{{{field}}}" in text:
        if re.search(rf"\{{{field}\}}(\*|\{{(?!index\}}))|(\*|(?<!\{{index)\}})\{{{field}\}}", text):
            raise OptionError(f"`{option}`={text} does not show where the {field} begins or ends.",
                              f"Write a separator, or {{index}} for digits, next to {{{field}}}.")
        return NamePattern(text, field, re.compile(_to_regex(text, field), re.IGNORECASE), text.count("/") + 1,
                           has_photo_suffix(text) or text.endswith(".*"))
    remedy = f"Write a file name with {{{field}}} in it, such as {_EXAMPLES[field]}, or a regular expression."
    if "(" not in text:
        raise OptionError(f"`{option}`={text} does not contain {{{field}}}.", remedy)
    try:
        regex = re.compile(text)
    except re.error as error:
        raise OptionError(f"`{option}`={text} is not a regular expression: {error}.", remedy) from None
    if field not in regex.groupindex and regex.groups != 1:
        raise OptionError(f"`{option}`={text} has no group named {field}.", f"Write (?P<{field}>...).")
    return NamePattern(text, field if field in regex.groupindex else 1, regex, 0, True)


_EXAMPLES = {"label": "{index}_{label}.png", "group": "video{group}_frame*"}


def _to_regex(text: str, field: str) -> str:
    """Return the regular expression for a file name with placeholders."""
    regex, end, seen = "", 0, set()
    for match in _PLACEHOLDER.finditer(text):
        regex += re.escape(text[end:match.start()])
        end = match.end()
        name = match[1]
        if name == field:
            regex += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)"
            seen.add(field)
        else:
            regex += r"\d+" if name == "index" else "[^/]*" if match[2] else "[^/]+?"
    return regex + re.escape(text[end:])
