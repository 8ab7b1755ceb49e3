"""The command-line interface: flags are parsed into options, and results are printed as text."""
