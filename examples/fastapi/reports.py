"""What is done outside requests: the spoolers load this module, and so do the web workers."""

from ipcmules import current_task
from ipcmules.decorators import spool


@spool(pass_arguments=True, results=3600, retries=0)
def report(name, rows):
    if rows < 0:
        raise ValueError(f"a report has no {rows} rows")
    for row in range(rows):
        current_task().progress(row, rows)
    return {"name": name, "rows": rows}
