"""What runs in the processes that the master asked for: loading an app, calling hooks and handlers, the end.

May know member. Private.
"""
