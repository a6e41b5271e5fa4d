"""docs/spooler.md: its examples, run as they are written there."""

from __future__ import annotations

from conftest import BusEnvironment
from documented import Page

PAGE = Page("spooler.md")


def test_the_example_of_handles(bus_env: BusEnvironment, bus_name: str) -> None:
    launcher = PAGE.run(bus_env.directory, bus_name, "reports.py", "ask.py")
    complaint = "attempt 1 of report failed: the function raised Retry"  # as the function has retries
    lines = [each for each in launcher.stdout.splitlines() if each != complaint]
    assert len(lines) == len(launcher.stdout.splitlines()) - 1
    assert lines[0] == "{'user': 'me', 'rows': 3}"
    assert lines[1].startswith("succeeded Progress(done=2, total=3, note='adding'")
    assert lines[2] == lines[0]
    assert lines[3] == "[{'user': 'a', 'rows': 1}, {'user': 'busy', 'rows': 2}]"
    assert "scheduled True cancelled" in lines
    assert lines[-1].endswith("no such user")


def test_the_examples_of_keys_and_of_many_tasks(bus_env: BusEnvironment, bus_name: str) -> None:
    launcher = PAGE.run(bus_env.directory, bus_name, "steering.py")
    lines = launcher.stdout.splitlines()
    # One mail, or two where the first was done before the second was asked for; the bus ends before the last.
    assert ("True" in lines) != ("False" in lines), lines
    assert lines.count("mail to me") <= 1 + ("False" in lines), lines
    launcher = PAGE.run(bus_env.directory, f"{bus_name}s", "shop.py")
    assert [each for each in launcher.stdout.splitlines() if each] == ["15", "sum 30", "1000"]
