"""New code: a second template, then all processes replaced one after the other.

May know children and events. Private.
"""
