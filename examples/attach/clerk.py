"""A bus that runs by itself, and serves whoever comes.

    ipcmules run --bus shop --mule=clerk.py

Then, in any other terminal of the same user: python order.py 3 apples
"""

from ipcmules import mule_get_msg, mule_id

while True:
    print(f"clerk {mule_id()} has an order:", mule_get_msg().decode())
