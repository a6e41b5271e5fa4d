"""Django's command line, also on a bus: ipcmules run --compat --ini uwsgi.ini -- python manage.py shell"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
