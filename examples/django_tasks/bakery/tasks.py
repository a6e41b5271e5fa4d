"""What is done outside requests. The bus's spoolers load this module, as they do each app's `tasks`."""

from bakery.models import Order
from ipcmules.django import spooled

try:
    from django.tasks import task
except ImportError:  # before Django 6
    from django_tasks import task


@task
def bake(number):
    order = Order.objects.get(pk=number)
    if order.bread == "stone":
        raise ValueError("a stone cannot be baked")
    order.baked = True
    order.save(update_fields=["baked"])
    tell.enqueue(number)
    return f"{order.bread} for {order.to}"


@task(queue_name="mail", takes_context=True)
@spooled(retries=5, timeout=60)
def tell(context, number):
    Order.objects.filter(pk=number).update(mailed=context.attempt)
