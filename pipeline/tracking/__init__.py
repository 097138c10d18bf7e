"""How a run gets from a stage's files into MLflow."""
