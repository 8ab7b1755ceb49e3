"""The exit codes of all commands."""
from __future__ import annotations

SUCCEEDED, FAILED, INVALID_COMMAND_LINE, BELOW_MINIMUM, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = {
    SUCCEEDED: ("the command succeeded; serve also exits with 0 after Ctrl-C, once it has answered the current "
                "requests"),
    FAILED: ("it failed, some photos could not be labelled, a check of doctor failed, or bottlenecks --verify found "
             "damage; a sentence says why"),
    INVALID_COMMAND_LINE: "the command line is invalid; nothing was done",
    BELOW_MINIMUM: "everything was written, but the accuracy is below --min_accuracy (retrain, evaluate)",
    INTERRUPTED: "it was interrupted with Ctrl-C, before it was finished",
}


def exit_code_lines() -> list[str]:
    """Return the lines about the exit codes, for --help."""
    import textwrap  # imported here, because the codes are needed before the imports of a command
    return [line for code, meaning in EXIT_CODES.items()
            for line in textwrap.wrap(meaning, 79, initial_indent=f"  {code:<3}  ", subsequent_indent=" " * 7)]
