"""Numbers of 64 bits that processes share, by name, in shared memory. May know buses. Private."""
