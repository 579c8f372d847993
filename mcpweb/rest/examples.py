"""An example of each body, by operation: shown in the document and on the API page, and held against the schemas by a test."""
from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "servers.create": {
        "name": "weather", "image": "example/weather:1.2", "description": "Forecasts",
        "config_data": {"transport": "stdio", "environment": {"UNITS": "metric"}, "limits": {"memory_mb": 256}},
    },
    "servers.change": {"description": "Forecasts for Europe"},
    "servers.call": {"arguments": {"city": "Kyoto"}},
    "configurations.create": {"server_id": "weather", "name": "imperial", "config_data": {"environment": {"UNITS": "imperial"}}},
    "configurations.change": {"description": "For the office in Boston"},
    "configurations.restore": {"revision": 1},
    "secrets.create": {"name": "WEATHER_TOKEN", "value": "the value", "scope": "global"},
    "secrets.change": {"value": "the new value"},
    "secrets.bind": {
        "secret_id": "sec_…", "configuration_id": "cfg_…", "variable": "TOKEN", "scope": "required", "delivery": "file",
    },
    "keys.create": {"name": "customer-a"},
    "keys.rotate": {"compromised": False},
    "keys.destroy": {"version": 1},
    "keys.unlock": {"passphrase": "the passphrase"},
    "test_runs.create": {"types": ["connection", "security"], "profile": "quick"},
    "findings.accept": {"reason": "It runs without a network.", "until": "2027-01-31"},
    "findings.approve": {"names": ["forecast"]},
    "findings.policy": {"policy": "warn"},
    "test_cases.create": {
        "server_id": "weather", "name": "Kyoto has weather", "tool_name": "forecast", "arguments": {"city": "Kyoto"},
        "assertions": [{"kind": "is_error", "value": False}],
    },
    "test_cases.change": {"is_active": False},
    "test_cases.record": {"job_id": "job_…", "name": "As on Monday"},
    "schedules.create": {"server_id": "weather", "name": "every night", "every_minutes": 1440},
    "schedules.change": {"is_active": False},
    "people.change_user": {"role": "viewer"},
    "people.add_user": {"name": "ada", "role": "operator", "password": "seven tall lighthouses"},
    "people.create_token": {"name": "ci", "role": "operator", "expires": 90},
    "transfer.read": {
        "text": '{"mcpServers": {"weather": {"command": "docker", "args": ["run", "-i", "--rm", "example/weather:1.2"]}}}',
    },
    "transfer.take": {
        "schemaVersion": 1, "kind": "mcpweb-setup", "servers": [{"name": "weather", "image": "example/weather:1.2"}],
    },
    "audit.prune": {"older_than_days": 365},
    "system.choose": {"keep_results_days": 90},
}
