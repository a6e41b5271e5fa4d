"""The addresses of the example, and Django's admin."""

from django.contrib import admin
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from bakery.models import Order
from bakery.tasks import bake


@csrf_exempt
@transaction.atomic
def orders(request):
    order = Order.objects.create(bread=request.POST["bread"], to=request.POST["to"])
    order.task = bake.enqueue(order.pk).id  # with the commit: no spooler looks for an order that is not there
    order.save(update_fields=["task"])
    return JsonResponse({"number": order.pk})


def order(request, number):
    found = get_object_or_404(Order, pk=number)
    result = bake.get_result(found.task)
    return JsonResponse(
        {
            "status": result.status,
            "told": result.return_value if result.status == "SUCCESSFUL" else None,
            "errors": [each.exception_class_path for each in result.errors],
            "baked": found.baked,
            "mailed": found.mailed,
        }
    )


urlpatterns = [
    path("orders", orders),
    path("orders/<int:number>", order),
    path("admin/", admin.site.urls),
]
