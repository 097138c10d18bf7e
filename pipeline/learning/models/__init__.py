"""The models, a module each: a new one is a module here and conf/model/NAME.yaml. See `pipeline.learning.model`.

A logged model carries its module and those with an underscore, unchanged, so at module level they import nothing of the project
but each other, relatively; what trains is imported inside `fit`.
"""

from collections.abc import Mapping

from pipeline.learning.model import Model
from pipeline.learning.models._linear import EncoderOptions, LinearModel, Logistic, Penalty, linear_model
from pipeline.registry import registry

__all__ = ["MODELS", "EncoderOptions", "LinearModel", "Logistic", "Penalty", "linear_model"]

MODELS: Mapping[str, type[Model]] = registry(__name__)
