"""Many configurations under one run: their jobs, and how these compare."""
