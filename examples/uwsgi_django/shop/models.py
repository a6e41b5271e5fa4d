"""An order, and what the bus has done with it."""

from django.db import models


class Order(models.Model):
    to = models.CharField(max_length=200)
    billed_by = models.IntegerField(default=0)
    mailed = models.BooleanField(default=False)


class Beat(models.Model):
    at = models.DateTimeField(auto_now_add=True)
