"""Export targets, with one file for each format or family of formats."""
