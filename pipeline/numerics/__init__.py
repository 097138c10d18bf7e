"""The science: no Hydra, no MLflow, no DVC, no printing. Arrays in, arrays out."""


class InvalidInput(ValueError):
    """What the user gave cannot be used. The message is one sentence: what, where, what is allowed."""


def require(condition: bool, sentence: str) -> None:
    """Raise InvalidInput(sentence) unless the condition holds."""
    if not condition:
        raise InvalidInput(sentence)
