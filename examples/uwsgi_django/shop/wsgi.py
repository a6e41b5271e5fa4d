"""A Django project that was written for uWSGI: a mule, a spooler, a timer, a cron and a lock (jobs.py).

    python manage.py migrate --run-syncdb --skip-checks
    uwsgi --ini uwsgi.ini
    ipcmules run --compat --ini uwsgi.ini -- gunicorn -w 2 -b 127.0.0.1:8000 shop.wsgi

The code and uwsgi.ini are the same for both.
"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()

from shop import jobs  # noqa: E402, F401 # mules and spoolers load this module, and need the jobs
