"""What is done to runs afterwards: `python -m pipeline.runs COMMAND`, one module a command."""
