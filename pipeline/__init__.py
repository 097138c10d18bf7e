"""Experiment-tracked logistic regression: Hydra composes, DVC chains, MLflow shows.

Equal inputs give equal bytes on unequal processors, too. NumPy, OpenBLAS, torch and MKL choose their kernels by the processor,
and the kernels round differently. So all are held to those that every processor with AVX2 runs alike, here, before any of them
is loaded; where the user has set one of these variables, that holds instead.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

# A job, or a stage that dvc runs, exits at once if the process above it has ended.
# This is no import statement: who runs the code is no part of the code's hash.
supervised = os.environ.get("PIPELINE_SUPERVISOR")
if supervised or (supervised is None and "DVC_STAGE" in os.environ and sys.argv[:1] == ["-m"]):
    import_module("pipeline._supervisor").exit_with_supervisor()

KERNELS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
}

with suppress(OSError):
    if " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        for variable, kernels in KERNELS.items():
            os.environ.setdefault(variable, kernels)
