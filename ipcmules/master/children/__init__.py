"""Mules, spoolers, workers and the template as the master sees them: starts, readiness, deaths.

May know loop and objects. Private.
"""
