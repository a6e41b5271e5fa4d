"""What runs inside a mule: the template it is forked from, programs, the wait loop, dispatch."""
