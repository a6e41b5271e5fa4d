"""The application: connects to the mule as two clients, then publishes to both by messages and a signal."""

import io
import os
import socket
import tempfile
import time

import ipcmules

GREET = 1
PATH = os.path.join(tempfile.gettempdir(), f"push-{os.getuid()}-{ipcmules.masterpid()}.sock")


def connect() -> io.BufferedReader:
    while not os.path.exists(PATH):
        time.sleep(0.05)  # the mule is entered, but its server may be still on the way
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(PATH)
    return connection.makefile("rb")


clients = [connect(), connect()]
for client in clients:
    print(client.readline().decode(), end="")
ipcmules.mule_msg("breaking news", 1)
ipcmules.mule_msg("more at eight", 1)
for client in clients:
    print(client.readline().decode(), client.readline().decode(), sep="", end="")
ipcmules.signal(GREET)
for client in clients:
    print(client.readline().decode(), end="")
