"""What a task can result in; the numbers are uWSGI's."""

#: Done: the file is removed.
SPOOL_OK = -2
#: Run it again later.
SPOOL_RETRY = -1
#: Leave it for somebody else.
SPOOL_IGNORE = 0
