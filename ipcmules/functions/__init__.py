"""Functions of the app: what they can be called with, and what a call came to.

Knows the standard library alone. Private.
"""
