"""What runs outside requests, in uWSGI's words."""

import uwsgi
from uwsgidecorators import cron, lock, mulefunc, spool, timer

from shop.models import Beat, Order


@mulefunc
def bill(number):
    Order.objects.filter(pk=number).update(billed_by=uwsgi.mule_id())


@spool(pass_arguments=True)
def mail(number):
    Order.objects.filter(pk=number).update(mailed=True)


@timer(1, target="mule")
def beat(signum):
    Beat.objects.create()


@cron(0, 3, -1, -1, -1, target="mule")
def forget(signum):
    Order.objects.filter(mailed=True).delete()


@lock
def create(to):
    """One order at a time."""
    return Order.objects.create(to=to)
