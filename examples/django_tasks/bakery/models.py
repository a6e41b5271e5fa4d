"""An order, and what has become of it."""

from django.db import models


class Order(models.Model):
    bread = models.CharField(max_length=100)
    to = models.EmailField()
    baked = models.BooleanField(default=False)
    mailed = models.IntegerField(default=0)
    task = models.CharField(max_length=255, default="")
