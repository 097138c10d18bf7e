"""BLAS on one thread."""

from contextlib import ExitStack

from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.determinism import one_thread


def test_blas_stays_on_one_thread_until_the_last_of_two_fits_ends() -> None:
    def counts() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    with threadpool_limits(2, "blas"), ExitStack() as first, ExitStack() as second:
        first.enter_context(one_thread)
        second.enter_context(one_thread)
        first.close()
        assert counts() == {1}
        second.close()
        assert counts() == {2}
