"""Tasks of the cluster: published from the hosts, given to their spoolers, and what became of them told.

May know the spool directories' files as the spoolers do; the cluster by the engine alone (values.py).
Private.
"""
