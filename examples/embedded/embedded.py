"""A bus inside a program: closures and a lambda as mules, a farm, locks, a clean end: python embedded.py"""

import tempfile
from pathlib import Path

import ipcmules


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        squares = Path(directory, "squares.txt")

        def square() -> None:
            """A mule's program that uses a variable of main(): it is carried into the mule with it."""
            while True:
                number = int(ipcmules.mule_get_msg())
                with ipcmules.Lock(1), squares.open("a") as file:
                    file.write(f"{number * number}\n")

        log = lambda: [print("log:", line.decode(), flush=True) for line in iter(ipcmules.mule_get_msg, None)]  # noqa: E731

        with ipcmules.Bus(mules=[square, square, log], farms={"squares": (1, 2)}, locks=4) as bus:
            for number in range(1, 11):
                bus.farm_msg("squares", str(number))
            bus.mule_msg("ten numbers sent", 3)
        # Leaving the block stopped the bus, and a bus that stops first finishes what was sent.
        print("squares:", *sorted(map(int, squares.read_text().split())))


if __name__ == "__main__":
    main()
