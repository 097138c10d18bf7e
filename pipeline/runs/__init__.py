"""What is done to runs afterwards: `python -m pipeline.runs COMMAND`, one module a command."""

from pipeline.determinism import pin_kernels

pin_kernels()
