"""The spooler process: a programmed mule whose program runs the tasks of one directory."""
