"""Run the index with a farm of four mules and one that shows progress: python demo.py"""

import os
import shlex
import sys

FARM = ["--mule=indexer.py"] * 4 + ["--farm=indexers:1,2,3,4"]
PROGRESS = ["--mule", "--import", "progress.py"]
OPTIONS = ["run", "--bus", "demo", *FARM, *PROGRESS, "--"]

print("$ ipcmules", shlex.join([*OPTIONS, "python", "index.py"]), flush=True)
os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.execv(sys.executable, [sys.executable, "-m", "ipcmules", *OPTIONS, sys.executable, "index.py"])
