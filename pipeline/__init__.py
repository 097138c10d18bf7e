"""Experiment-tracked logistic regression: Hydra composes, DVC chains, MLflow shows."""
