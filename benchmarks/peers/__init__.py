"""What ipcmules is compared with, and ipcmules itself: one file a side, each startable and stoppable."""
