"""How a run gets from a stage's files into MLflow, whose settings are applied here: it reads them when it is imported."""

import os

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it may hold a password
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the publisher tries again itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # seconds
}
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
