"""The chaos program: a bus under fire, and the ledger that says what became of everything afterwards.

`make chaos` runs it (`python -m chaos --help` in tests/). app.py runs in the bus, sender.py in attached
processes, director.py kills, stops and restarts them, ledger.py does the sums. They share records.py alone.
"""
