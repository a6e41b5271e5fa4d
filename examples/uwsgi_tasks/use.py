"""Give the tasks to the bus, and wait until they are done."""

import os
import time

import jobs

jobs.thumbnail("a.jpg", size=64)
jobs.deliver("someone@example.org")
jobs.price(12)

deadline = time.monotonic() + 30
said = ""
while time.monotonic() < deadline and not ("delivered" in said and "thumbnail" in said and "tick" in said):
    time.sleep(0.05)
    with open(os.environ.get("SAID", "said.txt")) as file:
        said = file.read()
print(said, end="")
