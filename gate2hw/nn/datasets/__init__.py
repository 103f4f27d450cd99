"""Where samples come from: one module for each kind of file, and `load_source` over all."""

from gate2hw.nn.datasets.raw import RawData
from gate2hw.nn.datasets.sources import BUILT_IN, default_folders, load_source

__all__ = ["BUILT_IN", "RawData", "default_folders", "load_source"]
