"""Rows that must survive a restart: tables, migrations, and plain functions over them. No rules."""
