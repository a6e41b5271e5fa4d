"""Benchmarks: ipcmules beside its peers, in one run, as ratios. `python -m benchmarks` prints the table."""
