"""The mule: it prints what the web workers send it."""

from ipcmules import mule_get_msg

while True:
    print("audit:", mule_get_msg().decode())
