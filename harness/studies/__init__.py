"""Studies: run it again with one thing changed, and say what that shows."""
