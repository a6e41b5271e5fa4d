"""A Django project whose tasks (bakery/tasks.py, called in bakery/urls.py) the bus's spoolers run.

    python manage.py migrate --run-syncdb
    python manage.py createsuperuser
    python manage.py ipcmules run --spooler ovens:2 --spooler mail:1 -- gunicorn -w 2 bakery.wsgi

Then, and look at http://127.0.0.1:8000/admin/ipcmules/spooledtask/ meanwhile:

    curl -d "bread=rye&to=someone@example.org" http://127.0.0.1:8000/orders
    curl http://127.0.0.1:8000/orders/1
    python manage.py ipcmules tasks list
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
execute_from_command_line(sys.argv)
