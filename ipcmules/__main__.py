"""`python -m ipcmules` is the command `ipcmules`."""

import sys

if __name__ == "__main__":
    # -m puts the current directory first on sys.path: the launcher is the master, which loads nothing of the
    # user's, not even a logging.py that happens to lie there.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]

    from ipcmules.cli.main import main

    main()
