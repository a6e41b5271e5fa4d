"""The events that raise signals: timers, crons, file monitors. They live in the master.

service   what processes ask for, and what they are told     book     which events there are, over reloads
timers    ticks on the monotonic clock                        crons    minutes on the wall clock
due       what is due next                                    firing   raising, or skipping
overlap   whether a signal's former run is still going        fired    when crons have fired last
monitors  files and directories: watches (inotify), routes (what a path depends on), sights (how it looks)
commands  --cron and its like, with their output              configured   timers and monitors of options
"""
