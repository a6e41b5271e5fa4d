"""Registrations: when two are one, which numbers they get, and what is refused."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import os
import random
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcmules.bus import table
from ipcmules.errors import SignalError
from ipcmules.signals.identity import Identities, name_of
from ipcmules.signals.registry import Registry
from minibus import MiniBus, child, ended, mini_bus

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def bus(bus_name: str, bus_env: object) -> Iterator[MiniBus]:
    with mini_bus(bus_name) as made:
        yield made


def handler(number: int) -> None:
    """A handler."""


def other(number: int) -> None:
    """Another handler."""


def load(path: Path, name: str, registry: Registry) -> types.ModuleType:
    """Run a file as a module that registers at `registry`, as an import does."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["registry"] = registry
    spec.loader.exec_module(module)
    return module


def numbers(registry: Registry) -> list[tuple[str, int | None, int | None]]:
    """Name, local and shared number of everything registered."""
    return [(each.identity.name, each.number, each.shared) for each in registry.registrations()]


# One identity


PROGRAM = """
import importlib, json, random, sys
from minibus import places
from ipcmules.bus import table
from ipcmules.signals.registry import Registry
import builtins

name, seed = sys.argv[1], int(sys.argv[2])
builtins.registry = Registry()
modules = ["app_one", "app_two", "app_three", "app_four"]
random.Random(seed).shuffle(modules)
where = places(name)
if seed % 2:  # half of them are on the bus before they load the app
    registry.publish(where, table.open(where.table))
for module in modules:
    importlib.import_module(module)
if not seed % 2:
    registry.publish(where, table.open(where.table))
found = {}
for each in registry.registrations():
    key = f"{each.identity.source.rpartition('/')[2]} {each.identity.name} {each.identity.target}"
    found.setdefault(key, []).append(each.shared)
    number = each.number
    assert registry.shared(number) == each.shared and registry.local(each.shared) == number
    assert registry.handler(each.shared) is each.handler
print(json.dumps(found, sort_keys=True))
"""

MODULES = {
    "app_one": """
def plain(n): pass
registry.register(101, "mule1", plain)
registry.register_auto("mule", plain)
def make(i):
    def closure(n): return i
    return closure
for i in range(5):
    registry.register_auto("mules", make(i))
""",
    "app_two": """
def plain(n): pass
registry.register(109, "mule1", plain)
for n in range(256):
    if not registry.registered(n):
        registry.register(n, "", lambda n: None)
        break
""",
    "app_three": """
class Timers:
    def run(self, n): pass
timers = Timers()
for n in range(3):
    registry.register_auto("worker", timers.run)
for n in range(256):
    if not registry.registered(n):
        registry.register(n, "", timers.run)
        break
""",
    "app_four": """
import functools
def partial(a, n): pass
registry.register_auto("", functools.partial(partial, 1))
registry.register_auto("", functools.partial(partial, 2))
""",
}


def test_ten_processes_choose_the_same_numbers(bus: MiniBus, tmp_path: Path) -> None:
    """Whatever the order in which they load the app's modules, and whether before or after they joined."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = [str(tmp_path), str(CHECKOUT / "tests"), str(CHECKOUT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    running = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "program.py"), bus.where.bus, str(seed)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        for seed in range(10)
    ]
    found = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert all(each == found[0] for each in found)
    shared = list(itertools.chain(*found[0].values()))
    assert len(set(shared)) == len(shared) == 15  # and every registration has one of its own


def test_two_modules_that_want_one_number_get_two(bus: MiniBus, tmp_path: Path) -> None:
    """In processes that load only one of them; the second is mapped, and both know it by their number."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("def f(n): pass\nregistry.register(7, 'mule1', f)\n")
    first, second, again = bus.registry(), bus.registry(), bus.registry()
    load(tmp_path / "one.py", "one", first)
    load(tmp_path / "two.py", "two", second)
    load(tmp_path / "two.py", "two", again)
    assert numbers(first) == [("f", 7, 7)]
    assert numbers(second) == numbers(again) == [("f", 7, 255)]
    assert (second.shared(7), second.local(255), second.handler(7)) == (255, 7, None)


def test_a_module_under_two_names_registers_once(bus: MiniBus, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(
        "def f(n): pass\ndef g(n): pass\n"
        "registry.register(3, '', f)\nregistry.register_auto('', g)\nregistry.register_auto('', g)\n"
    )
    (tmp_path / "link.py").symlink_to(path)
    registry = bus.registry()
    load(path, "app", registry)
    before = numbers(registry)
    last = load(path, "__mp_main__", registry)
    load(tmp_path / "link.py", "link", registry)
    assert numbers(registry) == before == [("f", 3, 3), ("g", 255, 255), ("g", 254, 254)]
    assert registry.handler(3) is not last.f  # the handler is that of the last run


def test_a_module_that_imports_itself_under_another_name(bus: MiniBus, tmp_path: Path) -> None:
    """As `python app.py` does, whose modules import `app`: the second run comes amid the first."""
    path = tmp_path / "app.py"
    path.write_text(
        "def f(n): pass\n"
        "registry.register_auto('', f)\n"
        "if __name__ == 'outer': load('inner')\n"
        "registry.register_auto('', f)\n"
    )
    registry = bus.registry()
    vars(registry)["load"] = None
    path.write_text(path.read_text().replace("load('inner')", "registry.load('inner')"))
    vars(registry)["load"] = lambda name: load(path, name, registry)
    load(path, "outer", registry)
    assert numbers(registry) == [("f", 255, 255), ("f", 254, 254)]


def test_reload_replaces_handlers_and_takes_no_new_numbers(
    bus: MiniBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"reloaded_{os.getpid()}.py"
    path.write_text(
        "import builtins\nregistry = builtins.test_registry\ndef f(n): pass\n"
        "registry.register(3, '', f)\n"
        "for _ in range(3): registry.register_auto('', f)\n"
        "for n in range(256):\n"
        "    if not registry.registered(n):\n"
        "        registry.register(n, 'mule1', f)\n"
        "        break\n"
    )
    registry = bus.registry()
    monkeypatch.setattr("builtins.test_registry", registry, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(path.stem)
    before = [shared for _name, _local, shared in numbers(registry)]
    for _ in range(200):
        importlib.reload(module)
    assert [shared for _name, _local, shared in numbers(registry)] == before
    assert registry.handler(3) is module.f
    # The scanning idiom finds a further local number each time; all of them are the same shared one.
    assert registry.shared(0) == registry.shared(150) == before[-1]


def test_the_idiom_of_scanning_for_a_free_number_sees_its_own_only(bus: MiniBus, tmp_path: Path) -> None:
    (tmp_path / "scan.py").write_text(
        "def free():\n"
        "    return next(n for n in range(256) if not registry.registered(n))\n"
        "def f(n): pass\ndef g(n): pass\n"
        "registry.register(free(), '', f)\nregistry.register(free(), '', g)\n"
    )
    (tmp_path / "noise.py").write_text("def h(n): pass\nregistry.register(0, '', h)\n")
    noisy, first, second = bus.registry(), bus.registry(), bus.registry()
    load(tmp_path / "noise.py", "noise", noisy)
    load(tmp_path / "scan.py", "scan", first)
    load(tmp_path / "noise.py", "noise", second)
    load(tmp_path / "scan.py", "scan", second)
    assert numbers(first) == [("f", 0, 255), ("g", 1, 1)]
    assert numbers(second) == [("h", 0, 0), ("f", 1, 255), ("g", 2, 1)]


names = st.sampled_from(["f", "g", "<lambda>", "C.m"])
calls = st.lists(st.tuples(names, st.sampled_from(["", "mule1"])), max_size=30)


@given(st.dictionaries(st.sampled_from("abcd"), calls, min_size=1), st.randoms())
def test_identities_do_not_depend_on_the_order_of_modules(
    modules: dict[str, list[tuple[str, str]]], chance: random.Random
) -> None:
    def run(order: list[str]) -> dict[str, list[bytes]]:
        identities = Identities()
        return {each: identify(each, modules[each], identities) for each in order}

    orders = list(modules)
    first = run(orders)
    chance.shuffle(orders)
    assert run(orders) == first
    everything = list(itertools.chain(*first.values()))
    assert len(set(everything)) == len(everything)


def identify(module: str, made: list[tuple[str, str]], identities: Identities) -> list[bytes]:
    """The identities of registrations made while a module of that name is loaded."""
    result: list[bytes] = []
    handlers = {name: named(name) for name, _target in made}
    scope = {"__name__": module, "made": made, "handlers": handlers, "out": result, "identities": identities}
    code = "for name, target in made:\n    out.append(identities.of(handlers[name], target, None).digest)\n"
    exec(compile(code, f"/app/{module}.py", "exec"), scope)
    return result


def named(name: str) -> Callable[[int], None]:
    def function(number: int) -> None:
        """Does nothing."""

    function.__qualname__ = name
    return function


def test_names_of_handlers() -> None:
    class Callable_:  # noqa: N801
        def __call__(self, number: int) -> None:
            """Does nothing."""

        def method(self, number: int) -> None:
            """Does nothing."""

    assert name_of(handler) == "handler"
    assert name_of(functools.partial(functools.partial(handler), 1)) == "handler"
    assert name_of(Callable_()).endswith("Callable_")
    assert name_of(Callable_().method).endswith("Callable_.method")
    assert name_of(print) == "print"


# Outside loading the app. Tests run inside no module's loading but pytest's own __main__: threads have none.


def outside(function: Callable[[], object]) -> object:
    """Call function as code that runs after loading does: with no module's frame on the stack."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_outside_loading_an_automatic_number_is_always_new(bus: MiniBus) -> None:
    registry = bus.registry()
    for _ in range(3):
        outside(lambda: registry.register_auto("", handler))
    assert numbers(registry) == [("handler", 255, 255), ("handler", 254, 254), ("handler", 253, 253)]


def test_outside_loading_a_number_belongs_to_a_living_process(bus: MiniBus) -> None:
    first, second = bus.registry(), bus.registry()
    outside(lambda: first.register(7, "mule1", handler))
    outside(lambda: second.register(7, "mule1", handler))  # the same function: the same registration
    third = bus.registry()
    with pytest.raises(
        SignalError, match=rf"signal 7 is taken on this bus by handler\(\).*process {os.getpid()}"
    ):
        outside(lambda: third.register(7, "mule1", other))
    assert numbers(third) == [] and not third.registered(7)


def test_outside_loading_a_dead_process_gives_its_number_back(bus: MiniBus) -> None:
    def register() -> None:
        mine = bus.registry()
        outside(lambda: mine.register(7, "mule1", handler))

    assert ended(child(register)) == 0
    raiser = bus.raiser()
    raiser.raise_signal(7)  # remembers mule1
    registry = bus.registry()
    outside(lambda: registry.register(7, "mule2", other))
    raiser.raise_signal(7)
    assert bus.table.text(7, table.E_TARGET) == "mule2"
    taken = [bus.taker(name) for name in ("mule1", "mule2")]
    assert [each.take(each.sources[0][0]) for each in taken] == [7, 7]


def test_what_was_recorded_outside_loading_and_is_taken_is_logged(
    bus: MiniBus, caplog: pytest.LogCaptureFixture
) -> None:
    first, late = bus.registry(), Registry()
    outside(lambda: first.register(7, "mule1", handler))
    outside(lambda: late.register(7, "mule1", other))
    outside(lambda: late.register(8, "mule1", other))
    late.publish(bus.where, bus.table)
    assert numbers(late) == [("other", 8, 8)]
    assert "signal 7 is taken on this bus" in caplog.text


# Rules and errors


def test_explicit_numbers_come_before_chosen_ones_at_joining(bus: MiniBus) -> None:
    registry = Registry()
    registry.register_auto("", other)
    registry.register(255, "", handler)
    assert numbers(registry) == [("other", None, None), ("handler", 255, None)]
    registry.publish(bus.where, bus.table)
    assert numbers(registry) == [("other", 254, 254), ("handler", 255, 255)]


def test_a_chosen_number_avoids_local_ones(bus: MiniBus, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(n): pass\nregistry.register(255, '', f)\n")
    (tmp_path / "b.py").write_text(
        "def g(n): pass\nregistry.register(255, '', g)\nregistry.register_auto('', g)\n"
    )
    (tmp_path / "c.py").write_text("def h(n): pass\nregistry.register_auto('', h)\n")
    first, second, third = bus.registry(), bus.registry(), bus.registry()
    load(tmp_path / "a.py", "a", first)
    load(tmp_path / "b.py", "b", second)
    assert numbers(second) == [("g", 255, 254), ("g", 253, 253)]
    load(tmp_path / "c.py", "c", third)
    load(tmp_path / "c.py", "c", first)
    assert numbers(third) == [("h", 252, 252)]
    # Leaving and joining another bus: what was chosen is chosen anew.
    assert numbers(first) == [("f", 255, 255), ("h", 252, 252)]


def test_a_number_has_one_handler_in_a_process(bus: MiniBus) -> None:
    registry = Registry()
    registry.register(7, "mule1", handler)
    registry.register(7, "mule1", handler)
    with pytest.raises(
        SignalError, match=r"signal 7 is registered already for handler\(\) with target 'mule1'"
    ):
        registry.register(7, "mule2", handler)
    with pytest.raises(SignalError, match="needs another number"):
        registry.register(7, "mule1", other)
    assert len(registry.registrations()) == 1


def test_all_numbers_taken(bus: MiniBus) -> None:
    registry = bus.registry()
    for _ in range(256):
        registry.register_auto("", handler)
    with pytest.raises(SignalError, match="all 256 signal numbers of this bus are taken"):
        registry.register_auto("", handler)
    assert sorted(each.shared or 0 for each in registry.registrations()) == list(range(256))


@pytest.mark.parametrize("number", [-1, 256, 10**9])
def test_numbers_out_of_range(number: int) -> None:
    registry = Registry()
    for call in (lambda: registry.register(number, "", handler), lambda: registry.shared(number)):
        with pytest.raises(SignalError, match=f"signal {number} cannot be: signals have numbers 0 to 255"):
            call()
    with pytest.raises(SignalError):
        registry.registered(number)


@pytest.mark.parametrize("number", [True, 1.0, "1", None])
def test_numbers_of_a_wrong_type(number: object) -> None:
    with pytest.raises(TypeError, match="a signal is a number from 0 to 255"):
        Registry().register(number, "", handler)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a signal is a number from 0 to 255"):
        Registry().shared(number)  # type: ignore[arg-type]


def test_a_handler_can_be_called() -> None:
    with pytest.raises(TypeError, match="a signal's handler is a function that takes the number, not 'x'"):
        Registry().register(1, "", "x")  # type: ignore[arg-type]


def test_long_names_are_cut_between_characters(bus: MiniBus) -> None:
    registry = bus.registry()
    registry.register(1, "ä" * 31, named("x" + "ä" * 40))
    assert bus.table.text(1, table.E_TARGET) == "ä" * 31
    assert bus.table.text(1, table.E_HANDLER) == "x" + "ä" * 31
