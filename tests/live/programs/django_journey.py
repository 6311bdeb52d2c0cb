"""A Django program against the running gateway: what it finds, by name, as one line of JSON.

Given in the environment: `JOURNEY`, the settings of Django's database as JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import django
from django.conf import settings

# server_side_binding makes psycopg prepare and bind on the server; DISABLE_SERVER_SIDE_CURSORS stays off, so that
# `iterator` declares cursors.
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["JOURNEY"])}},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.db import DatabaseError, connection, models, transaction  # noqa: E402
from django.db.models import Avg, Count, F, Q, Value, Window  # noqa: E402
from django.db.models.functions import Concat, Rank, TruncYear, Upper  # noqa: E402
from inspected import inspected  # noqa: E402


def failure(work: Any) -> list[str]:
    try:
        with transaction.atomic():
            work()
    except DatabaseError as error:
        diagnosis = error.__cause__.diag
        return [diagnosis.sqlstate, diagnosis.message_detail or "", diagnosis.message_hint or ""]
    return []


with tempfile.TemporaryDirectory() as directory:
    text, found = inspected(directory)
employees, payslips = found.Employees.objects, found.Payslips.objects
told: dict[str, Any] = {"models": text}
told["classes"] = sorted(n for n, v in vars(found).items() if isinstance(v, type) and issubclass(v, models.Model))
told["rows"] = [[one.id, one.email, str(one.salary)] for one in employees.order_by("id")]
told["get"] = employees.get(pk=told["rows"][0][0]).email
told["filter"] = list(
    employees.filter(Q(department="IT") | Q(status__in=["notice", "on_leave"]), job_title__icontains="e")
    .exclude(hired_on__year__lt=1990)
    .order_by("id")
    .values_list("id", flat=True)
)
told["related"] = [one.department.label for one in employees.select_related("department", "company").order_by("id")[:3]]
told["reverse"] = list(employees.annotate(slips=Count("payslips")).order_by("id").values_list("id", "slips")[:5])
told["prefetched"] = [
    len(one.payslips_set.all()) for one in employees.prefetch_related("payslips_set").order_by("id")[:3]
]
told["aggregate"] = str(employees.aggregate(mean=Avg("salary"))["mean"])
told["groups"] = list(
    employees.values("department").annotate(n=Count("id")).order_by("department").values_list("n", flat=True)
)
told["years"] = payslips.annotate(year=TruncYear("period")).values("year").annotate(n=Count("id")).count()
told["window"] = list(
    employees.annotate(r=Window(Rank(), partition_by=F("department"), order_by=F("salary").desc()))
    .filter(r=1)
    .order_by("id")
    .values_list("id", flat=True)
)
told["text"] = (
    employees.annotate(both=Concat(Upper("status"), Value("/"), "department", output_field=models.TextField()))
    .order_by("id")
    .first()
    .both
)
told["exists"] = employees.filter(department="IT").exists()
told["iterator"] = [one.id for one in employees.order_by("id").iterator(chunk_size=7)]
told["explain"] = "cost" not in employees.filter(status="active").explain()
told["raw"] = [one.id for one in employees.raw("select * from employees where department = %s order by id", ["IT"])]
with transaction.atomic():
    told["refused inside"] = failure(lambda: connection.cursor().execute("select notes from employees"))
    told["after the savepoint"] = employees.count()
told["write"] = failure(lambda: found.Departments.objects.create(code="X", label="x"))
told["update"] = failure(lambda: employees.filter(pk=1).update(status="x"))
told["locked"] = failure(lambda: list(employees.select_for_update()))
with connection.cursor() as cursor:
    told["constraints"] = sorted(connection.introspection.get_constraints(cursor, "employees"))
    told["primary key"] = connection.introspection.get_primary_key_columns(cursor, "employees")
    connection.check_constraints()
told["tables"] = connection.introspection.table_names(include_views=True)
print(json.dumps(told))
