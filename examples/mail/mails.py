"""The app: a call of send_mail() anywhere is a task, and a spooler sends the mail."""

import smtplib
from email.message import EmailMessage

from ipcmules import settings
from ipcmules.decorators import spool

SENDER = "shop@example.org"


def message(order, to):
    """The mail of an order. Its Message-ID is the order's, so that a mail that comes twice can be told."""
    mail = EmailMessage()
    mail["From"] = SENDER
    mail["To"] = to
    mail["Subject"] = f"Your order {order}"
    mail["Message-ID"] = f"<order-{order}@example.org>"
    mail.set_content(f"Thank you. Order {order} is on its way.\n")
    return mail


@spool(pass_arguments=True, retries=10, backoff=0.1, max_backoff=2)
def send_mail(order, to):
    """Give the mail to the SMTP server. What goes wrong is raised: the task runs again, a little later."""
    host, port = settings()["smtp"].split(":")
    with smtplib.SMTP(host, int(port), timeout=10) as server:
        server.send_message(message(order, to))
