"""What every process of a bus knows of its cluster: letters, the outbox, the way to the carrier.

The network is the carrier's alone (ipcmules/carrier): nothing here opens a connection to another host. May
know the bus and the kernel. Only what has to do with a cluster imports it. Private.
"""
