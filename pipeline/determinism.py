"""Equal bits on unequal processors: which kernels NumPy, BLAS and torch may take, and BLAS on one thread.

NumPy, OpenBLAS, torch and MKL choose their kernels by the processor, and the kernels round differently. `pin_kernels` holds
all to those that every processor with AVX2 runs alike; it must be called before any of them is loaded, and the packages
`stages` and `runs` do so. Where NumPy was loaded before, equal bits are promised on the same kernels and threads only.
"""

import os
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


KERNELS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
}


def pin_kernels() -> None:
    """Hold this process, and those that it starts, to kernels that round alike. A variable that the user has set stands."""
    with suppress(OSError):
        if " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
            for variable, kernels in KERNELS.items():
                os.environ.setdefault(variable, kernels)


@lru_cache(maxsize=1)
def _controller(modules: int) -> "ThreadpoolController":
    """What limits the BLAS libraries in this process; looked up anew when more modules, perhaps with a BLAS, are loaded."""
    from threadpoolctl import ThreadpoolController  # which `pin_kernels` must be called before

    return ThreadpoolController()


class OneThread:
    """BLAS on one thread: its sums, and so their bits, are then the same on every machine.

    The limit is the process's: it holds from the first fit that enters to the last that leaves.
    """

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0

    def __enter__(self) -> None:
        import scipy.linalg  # noqa: F401  its BLAS, too

        with self._lock:
            if not self._inside:
                self._limit = _controller(len(sys.modules)).limit(limits=1)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


one_thread = OneThread()
