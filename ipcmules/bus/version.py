"""The version of this package, for whoever says it. It stands here alone: setup.py reads this file."""

__version__ = "0.1.0"
