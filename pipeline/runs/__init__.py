"""What is done to runs afterwards: `python -m pipeline.runs COMMAND`, one module a command."""

import pipeline.tracking  # noqa: F401  which applies what MLflow reads when it is imported
from pipeline.determinism import pin_kernels

pin_kernels()
