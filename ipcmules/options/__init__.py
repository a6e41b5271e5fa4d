"""What can be said of a bus: each option once, with kind, default, help and what uWSGI means by its name.

The fields of `BusConfig` are the entries. The command line, files, `Bus()`, uwsgi.opt, help, completion and
the reference are made from them. Reads nothing and opens nothing. May know errors alone. Private.
"""
