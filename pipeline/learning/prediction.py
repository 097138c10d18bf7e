"""The predictor of a model that a stage has written."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from pipeline.determinism import one_thread
from pipeline.errors import ArtifactError, DataError
from pipeline.files import WEIGHTS_FILE
from pipeline.learning.models import MODELS
from pipeline.manifest import Manifest
from pipeline.model.card import ModelCard
from pipeline.model.decision import Decision, read_decision
from pipeline.model.encoder import Encoder
from pipeline.model.predictor import PredictionError, Predictor


def load_predictor(trained: Manifest[ModelCard], decision: Decision | None = None) -> Predictor:
    """One that predicts classes by a decision, which is the one in the model's folder if none is given.

    Raises ArtifactError where the files are not as described, or this version has no such kind of model.
    """
    card = trained.content
    if card.model not in MODELS:
        raise ArtifactError(f"{trained.path} must be of one of the models {', '.join(MODELS)}; it is of {card.model}")
    module = import_module(MODELS[card.model].__module__)
    encoder = None if card.encoder is None else Encoder.from_list(card.encoder)
    arrays, cut = trained.arrays(WEIGHTS_FILE), (decision or read_decision(trained)).log_odds
    return Predictor(card.features, card.classes, arrays, module.log_odds, card.columns, encoder, card.missing_values, cut)


@contextmanager
def predicting() -> Iterator[None]:
    """Around predictions: the same bits with any number of threads, and what is refused is raised as DataError."""
    try:
        with one_thread:
            yield
    except PredictionError as error:
        raise DataError(str(error)) from None
