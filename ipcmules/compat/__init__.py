"""What lets a uWSGI application run unchanged: the modules `uwsgi` and `uwsgidecorators`, and its ini files.

Public: install(). May know the api, the decorators and all below.
"""

from __future__ import annotations

__all__ = ["install"]


def install() -> None:
    """Make `import uwsgi` and `import uwsgidecorators` work in this process, from now on.

    Under `ipcmules run --compat` they do so by themselves. A real module of that name that is imported
    already is replaced: under uWSGI itself don't call this.
    """
    import sys

    from ipcmules.compat import uwsgi, uwsgidecorators

    sys.modules["uwsgi"] = uwsgi
    sys.modules["uwsgidecorators"] = uwsgidecorators
