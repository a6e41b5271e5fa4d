"""What a mule of an embedded bus can be: a path, a name, any callable, or signal-only."""

from __future__ import annotations

from pathlib import Path

import scripts

ECHO = """
    import ipcmules

    def echo():
        while True:
            text = ipcmules.mule_get_msg().decode()
            print(f"mule {ipcmules.mule_id()}: {text}", flush=True)
"""


def test_every_kind_of_program(bus_env: object, tmp_path: Path) -> None:
    scripts.write(tmp_path, "named.py", ECHO)
    scripts.write(
        tmp_path,
        "filed.py",
        """
        import sys
        from pathlib import Path
        import named

        assert __name__ == "__main__"
        assert Path(sys.argv[0]).name == "filed.py"
        named.echo()
        """,
    )
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import functools
        import ipcmules

        def say(prefix):
            while True:
                text = ipcmules.mule_get_msg().decode()
                print(f"mule {ipcmules.mule_id()}: {prefix}{text}", flush=True)

        def function():
            say("function ")

        class Program:
            def __init__(self, prefix):
                self.prefix = prefix

            def run(self):
                say(self.prefix)

        def main():
            prefix = "closure "

            def closure():
                say(prefix)

            mules = [
                "filed.py",
                "named:echo",
                function,
                closure,
                lambda: say("lambda "),
                functools.partial(say, "partial "),
                Program("method ").run,
            ]
            with ipcmules.Bus(mules=mules) as bus:
                for number in range(1, len(mules) + 1):
                    bus.mule_msg(f"hello {number}", number)

        if __name__ == "__main__":
            main()
        """,
    )
    assert sorted(scripts.output(program).splitlines()) == [
        "mule 1: hello 1",
        "mule 2: hello 2",
        "mule 3: function hello 3",
        "mule 4: closure hello 4",
        "mule 5: lambda hello 5",
        "mule 6: partial hello 6",
        "mule 7: method hello 7",
    ]


def test_signal_only_mules_have_the_main_modules_handlers_and_hooks(bus_env: object, tmp_path: Path) -> None:
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        def handle(number):
            print(f"mule {ipcmules.mule_id()}: signal {number}", flush=True)

        def hook(message):
            print(f"mule {ipcmules.mule_id()}: {message.decode()}", flush=True)

        ipcmules.register_signal(3, "mules", handle)
        ipcmules.install_mule_msg_hook(hook)

        if __name__ == "__main__":
            with ipcmules.Bus(mules=2) as bus:
                bus.signal(3)
                bus.mule_msg("hello", 2)
        """,
    )
    assert sorted(scripts.output(program).splitlines()) == [
        "mule 1: signal 3",
        "mule 2: hello",
        "mule 2: signal 3",
    ]


def test_a_closure_over_modules(bus_env: object, tmp_path: Path) -> None:
    """Modules travel by name, also those that no package manager installed, whatever they hold."""
    scripts.write(
        tmp_path,
        "helper.py",
        """
        import threading

        words = (each for each in ["helped"])
        local = threading.local()
        """,
    )
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        def main():
            import helper
            import ipcmules

            def run():
                print(next(helper.words), ipcmules.mule_get_msg().decode(), flush=True)
                ipcmules.mule_get_msg()

            with ipcmules.Bus(mules=[run]) as bus:
                bus.mule_msg("a lot")

        if __name__ == "__main__":
            main()
        """,
    )
    assert scripts.output(program) == "helped a lot\n"


def test_imports_processes_and_settings(bus_env: object, tmp_path: Path) -> None:
    scripts.write(
        tmp_path,
        "app.py",
        """
        import ipcmules

        def handle(number):
            print(f"worker {ipcmules.worker_id()} of mule {ipcmules.mule_id()}", flush=True)

        ipcmules.register_signal(4, "workers", handle)
        """,
    )
    program = scripts.write(
        tmp_path,
        "program.py",
        """
        import ipcmules

        if __name__ == "__main__":
            with ipcmules.Bus(processes=2, imports=["app"], settings={"key": "value"}) as bus:
                bus.signal(4)
        """,
    )
    assert sorted(scripts.output(program).splitlines()) == ["worker 1 of mule 0", "worker 2 of mule 0"]


def test_a_program_without_a_main_module_file(bus_env: object, tmp_path: Path) -> None:
    """As `python -c`: there is nothing to import again, so what a function uses travels with it."""
    source = (
        "import ipcmules\n"
        "word = 'carried'\n"
        "echo = lambda: print(word, ipcmules.mule_get_msg().decode(), flush=True)\n"
        "with ipcmules.Bus(mules=[echo]) as bus:\n"
        "    bus.mule_msg('along')\n"
    )
    program = scripts.write(
        tmp_path,
        "outer.py",
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {source!r}], check=True)\n",
    )
    assert scripts.output(program) == "carried along\n"
