"""The console room: flags in, sentences out. Every other room may use it; it uses none."""
from .errors import UserError, nearest, one_line, os_error_sentence, run_command
from .flags import CommandParser
from .logging import configure_logging, import_tensorflow, quiet_native_code
from .progress import progress_bar

__all__ = ["CommandParser", "UserError", "configure_logging", "import_tensorflow", "nearest", "one_line",
           "os_error_sentence", "progress_bar", "quiet_native_code", "run_command"]
