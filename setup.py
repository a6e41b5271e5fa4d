"""Package metadata. Settings of the build system and of the tools are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

readme = Path(__file__).with_name("README.md")

setup(
    name="ipcmules",
    version="0.1.0",
    description="Mules, farms, signals and locks for any Python application: a signal and message bus "
    "and its launcher, on the kernel's own queues, without a broker",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    author="the ipcmules authors",
    license="MIT",
    packages=find_packages(include=["ipcmules", "ipcmules.*"]),
    py_modules=["pytest_ipcmules"],
    package_data={"ipcmules": ["py.typed", "compat/site/*.py"]},
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
            "pytest>=8",
            "pytest-xdist>=3.5",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "psutil>=6",
            "gunicorn>=22",
            "croniter>=6",
            "aiosmtpd>=1.4.6",
            "uwsgi-tasks>=0.7.3",
            "django>=4.2",
            "flask>=3",
            "types-uwsgi>=2.0.0",  # the list of names that the uwsgi module must have
        ],
        "lint": ["ruff>=0.9", "mypy>=1.14", "import-linter>=2.1", "types-psutil", "types-gunicorn"],
        # What ipcmules is held beside: built from source, a C compiler is needed.
        "interop": ["uwsgi==2.0.31"],
        # The peers that benchmarks/ compares with. They are built from source: a C compiler is needed.
        "bench": ["uwsgi==2.0.31", "faster-fifo>=1.4.5", "pyzmq>=26", "psutil>=6", "huey>=2.5"],
    },
    entry_points={
        "console_scripts": ["ipcmules = ipcmules.cli.main:main"],
        "pytest11": ["pytest_ipcmules = pytest_ipcmules"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "License :: OSI Approved :: MIT License",
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
