"""The measures: one file a question, each with a `run(bench)` that gives rows of the table."""
