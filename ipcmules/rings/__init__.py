"""A ring of slots that processes share: uWSGI's queue, in its own format. May know buses. Private."""
