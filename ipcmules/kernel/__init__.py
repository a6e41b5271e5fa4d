"""What the operating system gives: calls, processes, descriptors, files.

Knows nothing of a bus; may import errors alone. Private.
"""
