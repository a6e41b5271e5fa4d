"""What a bus that ended left: messages, signals, objects; saved, taken over, removed.

May know objects and children. Private.
"""
