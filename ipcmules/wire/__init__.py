"""The uwsgi protocol: packets, a client, signatures of tasks. May know the kernel. Private."""
