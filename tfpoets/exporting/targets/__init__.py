"""One file for each form a classifier is written in."""
