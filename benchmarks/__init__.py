"""Ratios, measured side by side in one run: all contenders on the kernels that the pipeline holds NumPy, BLAS and torch to."""

import pipeline  # noqa: F401  before NumPy
