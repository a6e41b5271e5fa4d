"""The receiving side of message queues, in a mule.

May know the rest of messages and the sending side. Private.
"""
