"""The version of this package, for whoever says it: the same number stands in setup.py."""

__version__ = "0.1.0"
