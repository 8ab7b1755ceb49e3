"""The console room: flags in, sentences out. Every other room may use it; it uses none."""
from .errors import LINE_WIDTH, UserError, nearest, one_line, os_error_sentence, run_command
from .files import check_is_not_among, check_output_file, check_output_folder, write_file
from .flags import CommandParser
from .logging import auto_mixed_precision, configure_logging, full_precision, import_tensorflow, quiet_native_code
from .progress import progress_bar, stage

__all__ = ["CommandParser", "LINE_WIDTH", "UserError", "auto_mixed_precision", "check_is_not_among",
           "check_output_file", "check_output_folder", "configure_logging", "full_precision", "import_tensorflow",
           "nearest", "one_line", "os_error_sentence", "progress_bar", "quiet_native_code", "run_command", "stage",
           "write_file"]
