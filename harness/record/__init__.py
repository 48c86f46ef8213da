"""What was done, by what, on what: cells, runs and their files."""
