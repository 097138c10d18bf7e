"""Data sources: a module each, with one frozen dataclass whose fields are the schema of conf/data/<module>.yaml.

A source loads features and labels and splits them into a training and a test part.
"""

from pipeline.data.dataset import Source
from pipeline.registry import registry

SOURCES: dict[str, type[Source]] = registry(__name__)
