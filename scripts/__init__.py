"""The commands under the names that old command lines use; each one calls `tfpoets.cli`."""
