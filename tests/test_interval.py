"""A number and its interval, in JSON, in a run's metrics and in words."""

import math

from pipeline.files import nan_as_none
from pipeline.interval import Interval


def test_what_has_no_interval_is_null_in_json_and_a_value_alone_in_words() -> None:
    content = nan_as_none(vars(Interval(0.25)))
    assert content == {"value": 0.25, "low": None, "high": None}
    again = Interval.from_dict(content)
    assert str(again) == "0.2500"
    assert math.isnan(again.low)
    assert str(Interval(0.25, 0.2, 0.3)) == "0.2500 (0.2000 to 0.3000)"


def test_its_ends_are_metrics_of_their_own() -> None:
    assert Interval(2.0, 1.0, 3.0).by_name("auc") == {"auc": 2.0, "auc.low": 1.0, "auc.high": 3.0}
