"""A mule that writes down what requests send."""

import ipcmules

while True:
    print("noted:", ipcmules.mule_get_msg().decode(), flush=True)
