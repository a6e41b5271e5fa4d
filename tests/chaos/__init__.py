"""The chaos program: a bus under fire, and the ledger that says what became of everything afterwards.

`make chaos` runs it (`python -m chaos --help` in tests/; docs/chaos.md). app.py runs in the bus, sender.py in
attached processes; interruption.py and forking.py are done in both. director.py starts them and does what
killing.py, exhausting.py and removing.py offer; looking.py sees the bus. ledger.py does the sums.
"""
