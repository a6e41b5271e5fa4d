"""The application: what is loaded, how, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

from ipcmules.options import kinds
from ipcmules.options.kinds import Kind
from ipcmules.options.option import SAME, WORD, Option, entry


@dataclass(frozen=True, init=False, repr=False, eq=False)
class App:
    """The application."""

    imports: tuple[str, ...] = entry(
        (),
        Option(
            "import",
            kinds.MODULES,
            "Load a part of the app, once for all processes.",
            SAME,
            file_names=("pyimport", "py-import", "python-import"),
        ),
        Option(
            "shared-import",
            kinds.MODULES,
            "As import, before the others.",
            SAME,
            file_names=("shared-pyimport", "shared-py-import", "shared-python-import"),
            argument="",
            apart="shared_imports",
            only="files",
        ),
        Option(
            "module",
            Kind("application", metavar="MODULE", many=True),
            "The module of the WSGI application: as import, after the others; of MODULE:FACTORY() "
            "the factory is called.",
            SAME,
            file_names=("wsgi",),
            argument="",
            apart="applications",
            only="files",
        ),
        Option(
            "wsgi-file",
            Kind("application file", metavar="FILE", many=True),
            "The file of the WSGI application: as import, after the others.",
            SAME,
            file_names=("file",),
            argument="",
            apart="applications",
            only="files",
        ),
        Option(
            "mount",
            Kind("mount", metavar="PATH=APP", many=True),
            "The module or file of a WSGI application at a path (PATH=APP): as import, after the others.",
            SAME,
            argument="",
            apart="applications",
            only="files",
        ),
    )
    lazy_apps: bool = entry(
        False,
        Option(
            "lazy-apps",
            kinds.FLAG,
            "Load the app in each process instead of once.",
            SAME,
            file_names=("lazy",),
        ),
    )
    settings: tuple[tuple[str, str], ...] = entry(
        (),
        Option(
            "set",
            kinds.PAIRS,
            "Set a value that the app can read.",
            SAME,
            in_bus="values that the app can read, by their names",
        ),
    )
    pyargv: tuple[str, ...] = entry(
        (),
        Option(
            "pyargv",
            Kind("arguments", metavar="ARGS", argument="Sequence[str]", example="--verbose"),
            "Arguments of mule programs (sys.argv[1:]), separated by spaces.",
            SAME,
            in_bus="arguments of mule programs (sys.argv[1:]), as a list",
            more="In TOML: a list.",
        ),
    )
    paths: tuple[str, ...] = entry(
        (),
        Option(
            "pythonpath",
            kinds.DIRECTORIES,
            "Add a directory to sys.path, in front.",
            SAME,
            file_names=("python-path", "pp"),
            argument="",
        ),
        Option(
            "home",
            kinds.DIRECTORY,
            "The packages of a virtual environment of this Python.",
            SAME,
            file_names=("virtualenv", "venv", "pyhome"),
            argument="",
            apart="home",
            only="files",
        ),
    )
    compat: bool = entry(
        False,
        Option(
            "compat",
            kinds.FLAG,
            "Let the app import uwsgi and uwsgidecorators.",
            WORD,
            argument="",
            more="[uWSGI's module](uwsgi.md)",
        ),
    )
