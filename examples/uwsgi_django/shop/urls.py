"""The two addresses of the example."""

from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from shop import jobs
from shop.models import Beat, Order


@csrf_exempt
def orders(request):
    order = jobs.create(request.POST["to"])
    jobs.bill(order.pk)
    jobs.mail(order.pk)
    return JsonResponse({"number": order.pk})


def state(request):
    found = Order.objects.order_by("pk").values_list("pk", "to", "billed_by", "mailed")
    return JsonResponse({"orders": list(found), "beats": Beat.objects.count()})


urlpatterns = [path("orders", orders), path("state", state)]
