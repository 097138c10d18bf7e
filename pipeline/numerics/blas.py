"""BLAS on one thread, where equal bits are promised."""

import sys
from functools import lru_cache
from threading import Lock

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:
    """What limits the BLAS libraries in this process; looked up anew when more modules, perhaps with a BLAS, are loaded."""
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
