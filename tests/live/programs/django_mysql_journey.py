"""A Django program against the running gateway to MariaDB, over PyMySQL: what it finds, as one line of JSON.

Given in the environment: `JOURNEY`, the settings of Django's database as JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import django
import pymysql
from django.conf import settings

pymysql.install_as_MySQLdb()
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.mysql", **json.loads(os.environ["JOURNEY"])}},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.db import DatabaseError, connection, models, transaction  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.db.models.functions import TruncYear  # noqa: E402
from inspected import inspected  # noqa: E402


def failure(work: Any) -> str:
    try:
        with transaction.atomic():
            work()
    except DatabaseError as error:
        return str(error.args[1])
    return ""


with tempfile.TemporaryDirectory() as directory:
    text, found = inspected(directory)
employees, payslips = found.Employees.objects, found.Payslips.objects
told: dict[str, Any] = {"models": text}
told["classes"] = sorted(n for n, v in vars(found).items() if isinstance(v, type) and issubclass(v, models.Model))
told["rows"] = [[one.id, one.email, str(one.salary)] for one in employees.order_by("id")]
told["count"] = employees.count()
told["customers"] = list(employees.values_list("company_id", flat=True).distinct())
told["filtered"] = list(
    employees.filter(department__in=["IT", "HR"], job_title__icontains="e", hired_on__year__gte=1990)
    .order_by("id")
    .values_list("id", flat=True)
)
told["groups"] = [
    [one["department"], one["n"]]
    for one in employees.values("department").annotate(n=Count("id")).order_by("department")
]
told["years"] = payslips.annotate(year=TruncYear("period")).values("year").annotate(n=Count("id")).count()
told["slips"] = payslips.filter(employee_id__in=employees.filter(status="active").values("id")).count()
told["streamed"] = sum(1 for _ in employees.order_by("id").iterator(chunk_size=7))
with transaction.atomic():
    told["refused"] = [
        failure(lambda: connection.cursor().execute("select notes from employees")),
        failure(lambda: found.Departments.objects.create(code="X", label="x")),
    ]
    told["inside"] = employees.count()
with connection.cursor() as cursor:
    told["constraints"] = sorted(connection.introspection.get_constraints(cursor, "employees"))
    told["tables"] = connection.introspection.table_names(cursor)
print(json.dumps(told))
