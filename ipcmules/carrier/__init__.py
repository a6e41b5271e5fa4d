"""The process behind --cluster: it alone speaks to the cluster, for all processes of its bus.

A process of its own, because the master runs no network code; it is started and ended as the listener is. It
publishes what processes of the bus send and what is in the outbox, takes messages for the idle members of
cluster farms, and acknowledges what they have done. May know a bus as any process on it does. Private.
"""
