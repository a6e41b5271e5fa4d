"""A process that nothing connects with the bus but its name: python order.py 3 apples"""

import sys

import ipcmules

try:
    with ipcmules.attach("shop") as shop:
        shop.mule_msg(" ".join(sys.argv[1:]))
except ipcmules.NotAttached as error:
    sys.exit(f"order.py: the shop is closed: {error}")
