"""The breast cancer data."""

import pytest

from pipeline.data.sources.breast_cancer import BreastCancer


def test_breast_cancer_keeps_its_classes_shares() -> None:
    data = BreastCancer().load()
    assert data.train.X.shape == (427, 30)
    assert data.test.X.shape == (142, 30)
    assert data.test.y.mean() == pytest.approx(357 / 569, abs=0.01)
