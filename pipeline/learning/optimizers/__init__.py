"""The optimizers, a module each: a new one is a module here and conf/optimizer/NAME.yaml. See `pipeline.learning.optimizer`."""

from collections.abc import Mapping

from pipeline.learning.optimizer import Optimizer
from pipeline.registry import registry

OPTIMIZERS: Mapping[str, type[Optimizer]] = registry(__name__)
