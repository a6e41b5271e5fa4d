"""The application: calls functions that run in mules."""

import app

import ipcmules

app.thumbnail("cat.png", size=128)
app.report("all is well")
ipcmules.signal(app.CLEAN)
