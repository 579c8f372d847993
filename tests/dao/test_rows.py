"""Every row class has exactly the columns of its table."""
from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import fields, is_dataclass

import pytest

import mcpweb.dao
from mcpweb.dao import (
    accounts,
    audit,
    bindings,
    choices,
    configurations,
    findings,
    jobs,
    keys,
    observations,
    pins,
    plugin_events,
    schedules,
    secrets,
    servers,
    tools,
)
from mcpweb.dao import test_cases as cases
from mcpweb.dao import test_metrics as metrics
from mcpweb.dao import test_results as results
from mcpweb.dao import test_runs as runs
from mcpweb.dao import test_types as types
from mcpweb.db import Connection

ROWS = {
    servers.Server: "servers",
    configurations.Configuration: "configurations",
    configurations.Revision: "configuration_revisions",
    types.TestTypeRow: "test_types",
    results.TestResult: "test_results",
    runs.TestRun: "test_runs",
    tools.Tool: "tools",
    jobs.Job: "jobs",
    observations.Observation: "observations",
    audit.AuditRow: "audit_log",
    accounts.User: "users",
    accounts.Identity: "identities",
    accounts.Session: "sessions",
    accounts.Token: "tokens",
    plugin_events.PluginEvent: "plugin_events",
    secrets.Secret: "secrets",
    bindings.Binding: "configuration_secrets",
    keys.Key: "encryption_keys",
    keys.KeyVersion: "encryption_key_versions",
    keys.Quarantined: "quarantine",
    pins.PinRow: "pins",
    pins.PinChange: "pin_changes",
    findings.Finding: "findings",
    cases.TestCase: "test_cases",
    schedules.Schedule: "schedules",
    metrics.Metric: "test_metrics",
    choices.Choice: "choices",
}
NOT_ROWS = {"Called", "Cursor", "Glance", "Listing", "PinState", "Verification", "Wanted"}
FIELD_LISTS = {
    servers.FIELDS: "servers", configurations.FIELDS: "configurations", types.FIELDS: "test_types",
    results.FIELDS: "test_results", runs.FIELDS: "test_runs", tools.FIELDS: "tools", jobs.FIELDS: "jobs",
    audit.FIELDS: "audit_log", plugin_events.FIELDS: "plugin_events", accounts.USER_FIELDS: "users",
    accounts.SESSION_FIELDS: "sessions", accounts.TOKEN_FIELDS: "tokens",
    secrets.FIELDS: "secrets", bindings.FIELDS: "configuration_secrets", keys.FIELDS: "encryption_keys",
    keys.VERSION_FIELDS: "encryption_key_versions", pins.FIELDS: "pins", pins.CHANGE_FIELDS: "pin_changes",
    findings.FIELDS: "findings",
    cases.FIELDS: "test_cases", schedules.FIELDS: "schedules", metrics.FIELDS: "test_metrics", choices.FIELDS: "choices",
}


def _columns(conn: Connection, table: str) -> list[str]:
    return [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_fields_of_a_row_are_the_columns_of_its_table(conn: Connection, row: type) -> None:
    assert {field.name for field in fields(row)} == set(_columns(conn, ROWS[row]))


@pytest.mark.parametrize(("names", "table"), FIELD_LISTS.items(), ids=FIELD_LISTS.values())
def test_what_is_selected_is_the_whole_row(conn: Connection, names: str, table: str) -> None:
    assert sorted(names.split(", ")) == sorted(_columns(conn, table))


def test_every_row_class_is_held_against_a_table_and_frozen() -> None:
    modules = [importlib.import_module(f"mcpweb.dao.{found.name}") for found in pkgutil.iter_modules(mcpweb.dao.__path__)]
    classes = {
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if is_dataclass(thing) and thing.__module__ == module.__name__
    }
    assert {c.__name__ for c in classes if c not in ROWS} == NOT_ROWS
    assert all(c.__dataclass_params__.frozen for c in classes)  # type: ignore[attr-defined]
