"""The page behind --web and `ipcmules web`: a bus in a browser, and what can be done about it.

A process of its own, as the exporter's, for the same reasons; it joins nothing, and sleeps until somebody
connects. Alone knows the web framework (the extra `web`). May know the snapshot, and does what the commands
do by the same functions. Private.

main       the process            server     the HTTP server, without wake-ups   guard      who may ask
tokens     the secret             routes     what is answered at which path      sampling   the last hour
looking    tasks, letters, log    acting     what changes something              asking     stacks

static/ is the page itself: one HTML, one CSS, and JavaScript modules, one idea each, without a build step.
"""
