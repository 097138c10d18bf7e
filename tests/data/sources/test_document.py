"""The points of the textbook's document."""

import numpy as np

from pipeline.data.sources.document import Textbook


def test_the_document_s_points() -> None:
    data = Textbook().load()
    stream = np.random.RandomState(0)
    X = stream.randn(1000, 2)
    np.testing.assert_array_equal(data.train.X, X)
    p = 1 / (1 + np.exp(-(X @ [2, -3] + 0.5)))
    np.testing.assert_array_equal(data.train.y, p > 0.5)
    np.testing.assert_array_equal(data.test.X, stream.randn(500, 2))
