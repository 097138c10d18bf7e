"""Ratios, measured side by side in one run: all contenders on the kernels that the pipeline holds NumPy, BLAS and torch to."""

from pipeline.determinism import pin_kernels

pin_kernels()  # before NumPy is loaded
