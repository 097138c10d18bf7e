"""Data sources: one frozen dataclass each, whose fields are the schema of conf/data/<name>.yaml.

A source loads features and labels and splits them into a training and a test part.
"""

from pipeline.numerics.data.bundled import BreastCancer, Document
from pipeline.numerics.data.dataset import Dataset, Label, Part, Source, split
from pipeline.numerics.data.svmlight import Svmlight
from pipeline.numerics.data.table import Table

__all__ = ["SOURCES", "BreastCancer", "Dataset", "Document", "Label", "Part", "Source", "Svmlight", "Table", "split"]

SOURCES: dict[str, type[Source]] = {"document": Document, "breast_cancer": BreastCancer, "table": Table, "svmlight": Svmlight}
