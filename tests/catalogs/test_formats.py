"""Every format read into drafts: what fills the form, what is only proposed, what is lost and why."""
from __future__ import annotations

import json

import pytest

from mcpweb import catalogs
from mcpweb.catalogs import Draft
from mcpweb.errors import InvalidInput
from tests.catalogs import samples


def one(text: str, key: str = "", **more: str) -> Draft:
    drafts = catalogs.read(text, **more).drafts
    return next(draft for draft in drafts if draft.key == key) if key else drafts[0]


def lost(draft: Draft) -> dict[str, str]:
    return {item.where: item.code for item in draft.lost}


@pytest.mark.parametrize("kind", sorted(samples.ALL))
def test_the_format_is_told_by_itself_and_drafts_survive_being_written_down(kind: str) -> None:
    found = catalogs.read(samples.ALL[kind])
    assert found.format == kind and kind in catalogs.FORMATS
    for draft in found.drafts:
        kept = json.loads(json.dumps(draft.to_json()))
        assert Draft.from_json(kept) == draft


def test_a_docker_catalogue_fills_the_form_and_only_proposes_what_steers_the_container() -> None:
    draft = one(samples.CATALOG, "search")
    assert (draft.name, draft.title, draft.why_not) == ("search", "Search", "") and draft.image.startswith("example/search@sha256:")
    region, paths = draft.parameters
    assert (region.key, region.type, region.required, region.default, region.choices) == ("region", "string", True, "eu", ("eu", "us"))
    assert (paths.key, paths.type) == ("paths", "array")
    assert [(v.name, v.value) for v in draft.variables] == [("REGION", "{{region}}"), ("VERSION", "1.10")]
    (secret,) = draft.secrets
    assert (secret.variable, secret.name, secret.required, secret.given) == ("SEARCH_API_KEY", "api_key", True, None)
    assert set(draft.proposals) == {"command", "user", "mounts", "network"}
    assert [(m.type, m.source, m.target) for m in draft.mounts] == [
        ("bind", "{{paths|into}}", "{{paths|into}}"), ("volume", "search-cache", "/cache"),
    ]
    assert draft.command == ("--verbose", "{{paths|volume-target|into}}") and draft.tools == ("find", "fetch")


def test_what_a_docker_catalogue_cannot_hand_over_is_named_with_its_place_and_reason() -> None:
    found = lost(one(samples.CATALOG, "search"))
    assert found == {
        "/registry/search/volumes/2": "engine_socket", "/registry/search/command/2": "secret_in_text",
        "/registry/search/config/0/anyOf": "either_or", "/registry/search/allowHosts": "allow_hosts",
        "/registry/search/tools": "tool_image",
    }
    assert one(samples.CATALOG, "local").network == "none" and not one(samples.CATALOG, "local").proposals
    assert (one(samples.CATALOG, "far").why_not, one(samples.CATALOG, "once").why_not) == ("remote", "per_call")


def test_a_server_yaml_comes_with_the_tools_that_lie_beside_it() -> None:
    draft = one(samples.SERVER_YAML, tools=samples.TOOLS_JSON)
    assert draft.tools == ("now", "tomorrow") and draft.image == "example/weather"
    assert [(v.name, v.value) for v in draft.variables] == [("PLACE", "{{place}}"), ("MODE", "live")]
    assert {p.key: p.required for p in draft.parameters} == {"units": False, "place": True, "folder": False}
    assert (draft.secrets[0].variable, draft.secrets[0].required) == ("WEATHER_TOKEN", False)
    assert [(m.source, m.target) for m in draft.mounts] == [("{{folder}}", "/data")]


def test_a_server_json_takes_the_image_of_several_packages_and_says_what_became_of_the_others() -> None:
    draft = one(samples.SERVER_JSON)
    assert (draft.name, draft.image) == ("notes", "registry.example.com/example/notes:1.4.0")
    assert (draft.transport, draft.port, draft.path) == ("http", 8080, "/notes/mcp")
    assert draft.command == ("serve", "--language={{language}}") and draft.user == "1000"
    assert {p.key: (p.required, p.default, p.choices) for p in draft.parameters} == {
        "LEVEL": (False, "info", ("info", "debug")), "host": (False, "notes.example.com", ()), "folder": (True, "", ()),
        "language": (False, "en", ("en", "ja")),
    }
    assert {v.name: v.value for v in draft.variables} == {"LEVEL": "{{LEVEL}}", "BASE": "https://{{host}}/v1"}
    assert lost(draft) == {
        "/packages/0": "package", "/remotes": "remote", "/packages/1/runtimeArguments/2": "option",
        "/packages/1/packageArguments/2": "secret_in_text",
    }


def test_the_older_snake_case_is_read_the_same_and_a_package_gets_a_recipe() -> None:
    old, py = catalogs.read(samples.SNAKE_LIST).drafts
    assert old.image == "example/old:0.1" and old.secrets[0].variable == "OLD_TOKEN" and old.command == ("{{folder}}",)
    assert lost(old) == {"/status": "deprecated"}
    assert py.why_not == "package" and "pip install --no-cache-dir example-py==2.0" in py.recipe


def test_a_clients_file_is_read_with_its_comments_and_its_docker_run() -> None:
    found = {draft.key: draft for draft in catalogs.read(samples.CLIENT).drafts}
    github = found["github"]
    assert (github.image, github.command, github.transport) == ("example/github:1", ("stdio",), "stdio")
    assert [(v.name, v.value) for v in github.variables] == [("MODE", "read")]
    assert [(m.type, m.source, m.target, m.read_only) for m in github.mounts] == [("bind", "/srv/data", "/data", True)]
    assert lost(github) == {"--network host": "host", "--privileged": "privileged"}
    assert "npm install --global --no-audit --no-fund @example/files@1.2.3" in found["files"].recipe
    assert found["time"].recipe.endswith('ENTRYPOINT ["example-time"]\n') and found["time"].command == ("--zone", "UTC")
    assert (found["cloud"].why_not, found["own"].why_not) == ("remote", "other_runtime")


def test_a_secret_that_stands_in_a_clients_file_is_given_once_and_never_written_down() -> None:
    draft = one(samples.CLIENT, "github")
    (secret,) = draft.secrets
    assert secret.variable == "GITHUB_TOKEN" and secret.given is not None and secret.given.reveal() == "ghp_0123456789abcdefghij"
    assert "ghp_" not in json.dumps(draft.to_json()) + repr(draft)


def test_what_an_editor_asks_for_with_a_hidden_field_is_a_secret() -> None:
    draft = one(samples.VSCODE)
    assert [(s.variable, s.description) for s in draft.secrets] == [("SVC_ID", "Key of the service")]
    assert [(v.name, v.value, v.required, v.description) for v in draft.variables] == [("ZONE", "", True, "Zone")]


def test_a_profile_gives_images_and_snapshots() -> None:
    found = catalogs.read(samples.PROFILE).drafts
    assert [(draft.name, draft.image, draft.why_not) for draft in found] == [
        ("one", "example/one:1", ""), ("mcp", "", "remote"), ("snap", "example/snap:1", ""),
    ]


def test_an_option_that_hands_a_secret_input_on_is_that_secret_and_a_plain_word_is_a_word() -> None:
    package = {
        "registryType": "oci", "identifier": "example/x:1", "packageArguments": ["stdio", {"type": "positional", "value": "now"}],
        "runtimeArguments": [
            {"type": "named", "name": "-e", "value": "KEY={key}", "variables": {"key": {"isSecret": True, "isRequired": True, "description": "The key"}}},
            {"type": "named", "name": "-e", "value": "ZONE={zone}", "variables": {"zone": {"default": "UTC"}}},
            {"type": "named", "name": "-e", "value": "HEADER=Bearer {token}", "variables": {"token": {"isSecret": True}}},
        ],
    }
    draft = one(json.dumps({"name": "io.example/x", "packages": [package]}))
    assert [(s.variable, s.required, s.description) for s in draft.secrets] == [("KEY", True, "The key")]
    assert {v.name: v.value for v in draft.variables} == {"ZONE": "{{zone}}", "HEADER": ""} and draft.command == ("stdio", "now")
    assert set(lost(draft)) == {"/packages/0/runtimeArguments/2"}


def test_a_variable_in_a_command_is_its_value_unless_it_is_a_secret() -> None:
    text = "registry: {a: {image: x/y, env: [{name: ZONE, value: '{{a.zone}}'}], secrets: [{name: a.k, env: KEY}], command: [$ZONE, '${KEY}']}}"
    draft = one(text)
    assert draft.command == ("{{zone}}",) and lost(draft) == {"/registry/a/command/1": "secret_in_text"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("--privileged", "privileged"), ("--cap-add SYS_ADMIN", "privileged"), ("--cap-add=NET_RAW", "weaker"),
        ("-v /var/run/docker.sock:/s", "engine_socket"), ("-v /:/host", "engine_socket"), ("--mount type=bind,src=/run,dst=/r", "engine_socket"),
        ("--pid host", "host"), ("--device /dev/sda", "host"), ("--ipc=host", "host"), ("--network container:x", "host"),
        ("--network my-net", "network"), ("--security-opt seccomp=unconfined", "weaker"), ("--env-file .env", "file_outside"),
        ("-v $PWD:/work", "variable_from_outside"), ("--mount type=volume,src=a,dst=/b,volume-opt=o=bind", "driver"), ("--frobnicate", "option"),
        ("--memory 4g", "limits"), ("--add-host a:1.2.3.4", "extra_hosts"), ("-P", "port"), ("-p 53:53/udp", "port"), ("-u $(id -u)", "variable_from_outside"),
    ],
)
def test_what_docker_run_would_loosen_is_lost_with_its_reason_and_the_image_is_still_found(options: str, code: str) -> None:
    draft = one(f"docker run --rm -i {options} example/x:1 --flag")
    assert code in lost(draft).values(), draft.lost
    assert (draft.image, draft.command, draft.mounts) == ("example/x:1", ("--flag",), ())


@pytest.mark.parametrize(
    ("text", "image", "command"),
    [
        ("docker run -it --rm example/x", "example/x", ()), ("podman run -i --name x -l a=b example/x:1 a b", "example/x:1", ("a", "b")),
        ("docker -H unix:///x container run --init -eA=1 --rm -i -- example/x", "example/x", ()),
        ("/usr/bin/docker run --rm=true -i --pull always example/x -e NOT=ours", "example/x", ("-e", "NOT=ours")),
        ("docker run \\\n  -i --rm \\\n  example/x", "example/x", ()),
    ],
)
def test_docker_run_is_read_as_docker_reads_it(text: str, image: str, command: tuple[str, ...]) -> None:
    draft = one(text)
    assert (draft.image, draft.command, draft.lost) == (image, command, ())


def test_a_published_port_makes_an_http_server_unless_it_is_talked_to_over_standard_input() -> None:
    assert (one("docker run -p 127.0.0.1:9000:8080 example/x").transport, one("docker run -p 9000:8080 example/x").port) == ("http", 8080)
    assert lost(one("docker run -i -p 9000:8080 example/x")) == {"-p 8080": "port"}


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("API_KEY", "a1b2c3d4e5f6g7", True), ("GITHUB_TOKEN", "ghp_0123456789abcdef", True), ("X", "sk-abcdefgh12345678", True),
        ("DATABASE_URL", "postgres://u:pa55word@db/x", True), ("MY_PASSWORD", "hunter2hunter2", True),
        ("API_KEY", "<your key>", False), ("API_KEY", "YOUR_API_KEY", False), ("API_KEY", "${API_KEY}", False), ("MAX_TOKENS", "4096", False),
        ("TOKEN_LIMIT", "100", False), ("KEY_FILE", "/run/secrets/key", False), ("MODE", "production", False), ("AUTH", "none", False),
        ("DATABASE_URL", "postgres://db/x", False), ("MONKEY", "banana-split-7", False),
    ],
)
def test_a_plain_secret_is_told_from_a_placeholder_a_number_and_a_path(name: str, value: str, secret: bool) -> None:
    from mcpweb.catalogs.secretlike import secret_value

    assert secret_value(name, value) is secret


@pytest.mark.parametrize("name", ["a b; rm -rf /", "x\nRUN evil", "$(id)", "--global", "x`id`", "x' || y"])
def test_a_recipe_is_made_of_names_that_are_names_and_of_nothing_else(name: str) -> None:
    draft = one(json.dumps({"mcpServers": {"a": {"command": "npx", "args": ["-y", "--package", name, "prog"]}}}))
    assert not draft.recipe and draft.why_not in ("other_package", "other_runtime")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry:\n  a:\n    image: [x]\n", "line 3"), ("registry:\n  a: 7\n", "line 2"),
        ("registry:\n  a:\n    image: x/y\n    secrets:\n      env: A\n", "line 4"),
        ("registry:\n  a:\n   image: x\n  image: y\n z: 1\n", "line 5"), ("a: 1\na: 2\n", "line 2"), ("registry: {a: {image: x}\n", "line 2"),
        ('{"mcpServers": {\n "a": {"command": 1,\n "args": "x"}}}', "line 3"), ('{"mcpServers": {\n "a": {}}}', "line 2"),
        ('{"name": "x",\n "packages": [\n {"registryType": "oci", "identifier": {}}]}', "line 3"), ('{"a": 1,\n\n "a": 2}', "line 3"),
        ('{"a": 1,\n "b" 2}', "line 2"), ("name: x\nimage: y\nrun:\n  env: [A]\n", "line 4"), ("---\na: 1\n---\nb: 2\n", "line 3"),
        ("a: !!python/object/new:os.system [x]\n", "line 1"), ("a: &x 1\n<<: *x\n", "line 2"), ("a: *nothing\n", "line 1"),
        ("registry:\n  a:\n    image: x/y\n    config:\n      - properties:\n          p: text\n", "line 6"),
    ],
)
def test_a_broken_text_is_refused_with_the_line_of_the_fault(text: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        catalogs.read(text)
    assert caught.value.errors and place + "," in caught.value.errors[0].detail + ",", caught.value.errors


@pytest.mark.parametrize("text", ["", "   \n", "hello", "hello world", "[]", "{}", '{"servers": []}', "registry: {}\n", "a: 1", '{"registry": 1}', "registry:\n  a: {ref: ''}\n"])
def test_what_fits_no_format_is_refused_and_says_so(text: str) -> None:
    if text == "hello":  # an image may be called so
        assert catalogs.read(text).format == "image"
        return
    with pytest.raises(InvalidInput) as caught:
        catalogs.read(text)
    assert caught.value.errors and caught.value.detail
