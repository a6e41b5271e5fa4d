"""What the web servers that are known (gunicorn, granian, uvicorn) do with their processes, told to the bus.

site/ stands in PYTHONPATH of the command; its sitecustomize.py has patches.py look at each module of a server
when it is imported. May know api and all below. Private.
"""
