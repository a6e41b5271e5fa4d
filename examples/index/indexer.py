"""The program of mules 1 to 4: count lines and definitions of each file whose path comes to the farm."""

import ast
import os
import warnings
from pathlib import Path

import progress
import totals

from ipcmules import farm_get_msg, mule_id, signal

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def count(path: str) -> tuple:
    """(1 file, lines, definitions, 1 if it is not valid Python)."""
    source = Path(path).read_bytes()
    lines = len(source.splitlines())
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return 1, lines, 0, 1
    return 1, lines, sum(isinstance(node, DEFINITIONS) for node in ast.walk(tree)), 0


warnings.simplefilter("ignore")  # what the parser thinks of old code
while True:  # until the bus stops: then farm_get_msg() raises SystemExit
    message = farm_get_msg()
    totals.add(mule_id(), count(os.fsdecode(message)))
    signal(progress.ADVANCED)
