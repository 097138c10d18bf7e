"""Data sources: one frozen dataclass each, whose fields are the schema of conf/data/<name>.yaml.

A source loads features and labels and splits them into a training and a test part.
"""

from pipeline.data.bundled import BreastCancer, Textbook
from pipeline.data.dataset import Dataset, Label, Source, Split, split
from pipeline.data.svmlight import Svmlight
from pipeline.data.table import Table

__all__ = ["SOURCES", "BreastCancer", "Dataset", "Label", "Source", "Split", "Svmlight", "Table", "Textbook", "split"]

SOURCES: dict[str, type[Source]] = {"document": Textbook, "breast_cancer": BreastCancer, "table": Table, "svmlight": Svmlight}
