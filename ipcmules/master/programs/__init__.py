"""Programs beside the mules: the command, daemons, the listener, commands of crons.

May know children and events. Private.
"""
