"""Texts of every format, written after the documented field names."""
from __future__ import annotations

CATALOG = """\
version: 3
name: team
displayName: Team tools
registry:
  search:
    type: server
    image: example/search@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    title: Search
    description: Finds things.
    longLived: true
    secrets:
      - name: search.api_key
        env: SEARCH_API_KEY
        example: YOUR_KEY
        description: Key of the account.
    env:
      - name: REGION
        value: '{{search.region}}'
      - name: VERSION
        value: 1.10
    config:
      - name: search
        type: object
        properties:
          region: {type: string, enum: [eu, us], default: eu, description: Where to search}
          paths: {type: array, items: {type: string}}
        required: [region]
        anyOf: [{required: [region]}]
    volumes:
      - '{{search.paths|volume|into}}'
      - search-cache:/cache
      - /var/run/docker.sock:/var/run/docker.sock
    command: ['--verbose', '{{search.paths|volume-target|into}}', '--key=${SEARCH_API_KEY}']
    user: '1000:1000'
    allowHosts: ['api.example.com:443']
    tools:
      - name: find
      - name: fetch
        container: {image: example/fetch}
    metadata: {category: search, license: MIT}
  local:
    image: example/local:2
    disableNetwork: true
  far:
    type: remote
    remote: {url: 'https://example.com/mcp', transport_type: streamable-http}
  once:
    type: poci
    image: example/once:1
"""

SERVER_YAML = """\
name: weather
image: example/weather
type: server
meta:
  category: data
  tags: [weather]
about:
  title: Weather
  description: Weather of places.
  icon: https://example.com/icon.png
source:
  project: https://example.com/weather
  commit: 0123abc
run:
  command: [--units, '{{weather.units}}']
  volumes: ['{{weather.folder}}:/data']
  env:
    MODE: live
  disableNetwork: false
config:
  description: How to reach the service
  secrets:
    - name: weather.token
      env: WEATHER_TOKEN
      example: abc
      required: false
  env:
    - name: PLACE
      example: Kyoto
      value: '{{weather.place}}'
  parameters:
    type: object
    properties:
      units: {type: string, default: metric}
      place: {type: string}
      folder: {type: string}
    required: [place]
"""

TOOLS_JSON = """[{"name": "now", "description": "Weather now", "arguments": [{"name": "place", "type": "string"}]}, {"name": "tomorrow"}]"""

SERVER_JSON = """\
{
  "$schema": "https://example.com/server.schema.json",
  "name": "io.example.team/notes",
  "title": "Notes",
  "description": "Keeps notes.",
  "version": "1.4.0",
  "repository": {"url": "https://example.com/notes", "source": "git"},
  "packages": [
    {"registryType": "npm", "identifier": "@example/notes", "version": "1.4.0", "transport": {"type": "stdio"}},
    {
      "registryType": "oci",
      "identifier": "registry.example.com/example/notes:1.4.0",
      "transport": {"type": "streamable-http", "url": "http://localhost:8080/notes/mcp"},
      "runtimeArguments": [
        {"type": "named", "name": "-v", "value": "{folder}:/notes", "variables": {"folder": {"format": "filepath", "isRequired": true}}},
        {"type": "named", "name": "--user", "value": "1000"},
        {"type": "named", "name": "--device", "value": "/dev/kvm"}
      ],
      "packageArguments": [
        {"type": "positional", "value": "serve"},
        {"type": "named", "name": "--language", "default": "en", "choices": ["en", "ja"]},
        {"type": "named", "name": "--token", "isSecret": true}
      ],
      "environmentVariables": [
        {"name": "NOTES_KEY", "description": "Key", "isRequired": true, "isSecret": true},
        {"name": "LEVEL", "format": "string", "default": "info", "choices": ["info", "debug"]},
        {"name": "BASE", "value": "https://{host}/v1", "variables": {"host": {"default": "notes.example.com"}}}
      ]
    }
  ],
  "remotes": [{"type": "streamable-http", "url": "https://notes.example.com/mcp"}]
}
"""

SNAKE_LIST = """\
{"servers": [
  {"server": {"name": "io.example/old", "description": "Older.", "version": "0.1",
     "packages": [{"registry_type": "oci", "identifier": "example/old", "version": "0.1",
        "environment_variables": [{"name": "OLD_TOKEN", "is_secret": true, "is_required": true}],
        "package_arguments": [{"type": "positional", "value_hint": "folder", "is_required": true}]}]},
   "_meta": {"io.modelcontextprotocol.registry/official": {"status": "deprecated"}}},
  {"server": {"name": "io.example/py", "version": "2", "packages": [{"registry_type": "pypi", "identifier": "example-py", "version": "2.0"}]}}
], "metadata": {"count": 2, "next_cursor": "x"}}
"""

CLIENT = """\
{
  // as an editor keeps it
  "mcpServers": {
    "github": {
      "command": "docker",
      "args": ["run", "-i", "--rm", "-e", "GITHUB_TOKEN", "-e", "MODE=read", "--network=host", "--privileged",
               "-v", "/srv/data:/data:ro", "example/github:1", "stdio"],
      "env": {"GITHUB_TOKEN": "ghp_0123456789abcdefghij"}
    },
    "files": {"command": "npx", "args": ["-y", "@example/files@1.2.3", "/tmp"]},
    "time": {"command": "uvx", "args": ["example-time==1.0", "--zone", "UTC"]},
    "cloud": {"type": "http", "url": "https://example.com/mcp"},
    "own": {"command": "/usr/local/bin/own-server"},
  }
}
"""

VSCODE = """\
{"inputs": [{"type": "promptString", "id": "key", "description": "Key of the service", "password": true},
            {"type": "promptString", "id": "zone", "description": "Zone"}],
 "servers": {"svc": {"type": "stdio", "command": "docker", "args": ["run", "-i", "--rm", "-e", "SVC_ID", "-e", "ZONE", "example/svc"],
    "env": {"SVC_ID": "${input:key}", "ZONE": "${input:zone}"}}}}
"""

PROFILE = """\
version: 1
id: dev
name: dev
servers:
  - type: image
    image: example/one:1
    config: {a: b}
  - type: remote
    endpoint: https://example.com/mcp
  - type: registry
    source: https://example.com/x
    snapshot: {server: {name: snap, image: 'example/snap:1', title: Snap}}
"""

ALL = {
    "docker-catalog": CATALOG, "docker-registry": SERVER_YAML, "mcp-registry": SERVER_JSON, "mcp-servers": CLIENT,
    "docker-profile": PROFILE, "image": "example/one:1", "docker-run": "docker run -i --rm example/one:1",
}
