"""Lanes: where messages wait that a queue had no room for, in shared memory, out of their sender's hands.

Specified to the byte in docs/formats-messages.md, "Lanes". directory.py says which lanes there are, chain.py
what a lane is made of; writer.py is the sender's end, owning.py who writes which lane, lock.py its lock;
private.py and shared.py are the receivers' ends (a mule's own queue; the pool and the farms), with readers.py
in both; claims.py is what a dead receiver of a shared queue leaves, saving.py the end of a bus.
"""
