"""The admin section for tasks: a list, a page for each, and actions, over the files of the spool directories.

Everything is shown by templates that escape; each action asks for its permission, and is written into
Django's log of admin actions. Knows requests and pages; what a task is, is in consoles.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_protect

from ipcmules.django import consoles, places
from ipcmules.django.consoles import ACTIONS, MOST, STATES, Wanted
from ipcmules.django.models import SpooledTask
from ipcmules.kernel.printable import for_people

_TEMPLATES = "admin/ipcmules/spooledtask"


@admin.register(SpooledTask)
class SpooledTaskAdmin(admin.ModelAdmin):  # type: ignore[misc] # Django has no types
    """Tasks of all spool directories of the project. No table is asked."""

    def get_urls(self) -> list[Any]:
        """Two pages. The names are those that the admin's index and its log ask for."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="ipcmules_spooledtask_changelist"),
            path("<path:object_id>/change/", wrap(self.change_view), name="ipcmules_spooledtask_change"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """False: functions enqueue tasks."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. A POST is an action on the tasks that are ticked."""
        return csrf_protect(self._changelist)(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One task. A POST is an action on it."""
        return csrf_protect(self._change)(request, unquote(object_id))

    def _changelist(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            self._act(request, request.POST.getlist("task"))
            return HttpResponseRedirect(request.get_full_path())
        asked = {each: request.GET.get(each, "").strip() for each in ("state", "function", "directory")}
        wanted = Wanted(**asked, task_id=request.GET.get("q", "").strip())
        rows, more, problems = consoles.rows(wanted)
        for each in problems:
            messages.error(request, f"It cannot be looked at: {each}")
        context = {
            "title": "Tasks",
            "rows": rows,
            "more": more,
            "most": MOST,
            "wanted": wanted,
            "states": STATES,
            "functions": sorted({each.function for each in rows}),
            "directories": [(str(at), for_people(each)) for at, each in enumerate(places.of_project())],
            "actions": self._allowed(request),
        }
        return self._page(request, "list", context)

    def _change(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            self._act(request, [object_id])
            return HttpResponseRedirect(
                reverse("admin:ipcmules_spooledtask_changelist", current_app=self._site)
            )
        task = consoles.find(object_id)
        if task is None:
            raise Http404("This task is done, or was moved: look at the list again.")
        row, lines, trace = consoles.details(task)
        context = {
            "title": f"{row.function}: {row.state}",
            "row": row,
            "lines": lines,
            "trace": trace,
            "actions": self._allowed(request),
        }
        return self._page(request, "task", context)

    @property
    def _site(self) -> str:
        return str(self.admin_site.name)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self._site
        whole = {**self.admin_site.each_context(request), "opts": self.model._meta, **context}
        return TemplateResponse(request, f"{_TEMPLATES}/{name}.html", whole)

    def _allowed(self, request: HttpRequest) -> list[tuple[str, str]]:
        """The actions that this user may use, by name and in words."""
        return [(name, words) for name, (words, needs, _do) in ACTIONS.items() if self._may(request, needs)]

    def _may(self, request: HttpRequest, needs: str) -> bool:
        allowed = self.has_delete_permission if needs == "delete" else self.has_change_permission
        return bool(allowed(request))

    def _act(self, request: HttpRequest, keys: list[str]) -> None:
        """Do what a form asks for; say what was done and what could not be."""
        words, needs, do = ACTIONS.get(request.POST.get("action", ""), ("", "", None))
        if do is None or not keys:
            messages.warning(request, "Choose tasks and an action.")
            return
        if not self._may(request, needs):
            raise PermissionDenied
        problems: Counter[str] = Counter()
        for key in keys:
            task = consoles.find(key)
            problem = "it is gone" if task is None else do(task)
            if task is not None and not problem:
                self._log(request, key, f"{task.function} {task.id}", words, needs)
            elif problem:
                problems[problem] += 1
        done = len(keys) - problems.total()
        if done:
            messages.success(request, f"{words}: {done} task{'' if done == 1 else 's'}.")
        for problem, count in problems.items():
            messages.error(request, f"{words}: {count} not, as {for_people(problem)}.")

    def _log(self, request: HttpRequest, key: str, about: str, words: str, needs: str) -> None:
        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type_id=ContentType.objects.get_for_model(self.model).pk,
            object_id=key,
            object_repr=for_people(about)[:200],
            action_flag=DELETION if needs == "delete" else CHANGE,
            change_message=words,
        )
