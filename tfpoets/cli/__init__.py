"""Command lines: flags to options, results to text."""
