"""A Django project that was written for uWSGI: a mule, a spooler, a timer, a cron and a lock (jobs.py).

    python manage.py migrate --run-syncdb --skip-checks
    uwsgi --ini uwsgi.ini
    ipcmules run --compat --ini uwsgi.ini -- gunicorn -w 2 -b 127.0.0.1:8000 shop.wsgi:application
    ipcmules run --config ipcmules.toml -- gunicorn -w 2 -b 127.0.0.1:8000 shop.wsgi:application

The code is the same for all three. `ipcmules migrate uwsgi.ini -o ipcmules.toml` wrote ipcmules.toml. Then:

    curl -d to=someone@example.org http://127.0.0.1:8000/orders
    curl http://127.0.0.1:8000/state
"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()

from shop import jobs  # noqa: E402, F401 # mules and spoolers load this module, and need the jobs
