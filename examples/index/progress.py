"""The app that mule 5 loads: it shows progress whenever a signal says that there is some."""

import atexit

import totals
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

import ipcmules
from ipcmules.decorators import signal

ADVANCED, DONE = 1, 2

console = Console(stderr=True)
bar = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console)
task = bar.add_task("indexing")
tenths = 0


@signal(ADVANCED, target="mule5")
def show(signum: int) -> None:
    result = totals.read()
    files, expected = sum(counts[0] for counts in result["mules"].values()), result["expected"]
    (show_bar if console.is_terminal else show_line)(files, expected)
    if files == expected:
        bar.stop()
        ipcmules.signal(DONE)


def show_bar(files: int, expected: int) -> None:
    if bar.tasks[task].completed == 0:
        bar.start()
        atexit.register(bar.stop)  # a stopped bar gives the cursor back
    if not bar.finished:
        bar.update(task, completed=files, total=expected)


def show_line(files: int, expected: int) -> None:
    global tenths
    if 10 * files // expected > tenths:
        tenths = 10 * files // expected
        console.print(f"indexed {files} of {expected} files", highlight=False)
