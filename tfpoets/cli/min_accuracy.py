"""The flag --min_accuracy, which makes continuous integration fail if a classifier is not accurate enough."""
from __future__ import annotations

from tfpoets.errors import DataError, check_range
from tfpoets.evaluation import Metrics

from .exit_codes import BELOW_MINIMUM, SUCCEEDED
from .messages import print_message
from .parser import Flag
from .percentages import fraction
from .run_command import UsageError

MIN_ACCURACY = Flag("min_accuracy", f"exit with code {BELOW_MINIMUM} if the accuracy on the test photos is below "
                    "A, such as 0.9 or 90% (photos that would be labelled unsure count, too); everything is still "
                    "written and printed", parse=fraction,
                    metavar="A")


def check_min_accuracy(min_accuracy: float | None, has_test: bool = True) -> None:
    """Check the value of --min_accuracy.

    Args:
        min_accuracy: The value; None if the flag was not given.
        has_test: Whether the options request a test.

    Raises:
        OptionError: The value is not a number from 0 to 1.
        UsageError: There will be no test photos.
    """
    check_range("min_accuracy", min_accuracy, minimum=0, maximum=1)
    if min_accuracy is not None and not has_test:
        raise UsageError("--min_accuracy needs test photos, but --testing_percentage is 0.",
                         "Use --test_dir, or omit one of the two.")


def accuracy_exit_code(metrics: Metrics | None, min_accuracy: float | None, name: str) -> int:
    """Return the exit code for an accuracy, and print a sentence on standard error if it is below the minimum.

    Args:
        metrics: The metrics of the test photos; None if there are none.
        min_accuracy: The value of --min_accuracy; None without one.
        name: The name of the accuracy in the sentence.

    Raises:
        DataError: There is a minimum, but there are no test photos.
    """
    if min_accuracy is None:
        return SUCCEEDED
    if metrics is None:
        raise DataError("`min_accuracy` could not be checked, because there are no test photos.")
    if metrics.accuracy >= min_accuracy:
        return SUCCEEDED
    low, high = metrics.interval
    correct = round(metrics.accuracy * metrics.count)
    print_message(f"Error: The {name} is {metrics.accuracy:.1%} ({correct} of {metrics.count} photos; 95% interval "
                  f"{100 * low:.1f}-{100 * high:.1f}%), which is below --min_accuracy={min_accuracy:g}.")
    return BELOW_MINIMUM
