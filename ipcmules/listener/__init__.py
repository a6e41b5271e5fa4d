"""The process behind --socket: it takes packets of the uwsgi protocol and does what they ask on the bus.

A process of its own, because what comes in is not to be trusted: the master only binds the sockets. A clean
interpreter without the app, and a member of the bus like any attached process. May know the api. Private.
"""
