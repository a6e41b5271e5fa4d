"""The events that raise signals: timers, crons, file monitors. They live in the master.

service    what processes ask for, and are told     catalogue   which events there are, over reloads
timers     ticks on the monotonic clock             crons       minutes on the wall clock
due        what is due next                         firing      raising, or skipping
overlap    whether the former run is still going    last_runs   when crons have fired last
monitors   files and directories: watches (inotify), routes (what a path depends on), file_states
configured timers and monitors of options

May know the loop, the objects and events. Private.
"""
