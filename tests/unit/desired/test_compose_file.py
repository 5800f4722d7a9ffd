"""What an app of a pack may say of itself, and what it may not."""

import pytest

from xyn_reconciler.desired.compose_file import is_pinned, read_compose, variables_of

GOOD = """\
services:
  web:
    image: registry.example.net/web:1
    environment: {TOKEN: "${SECRET_TOKEN}", URL: "http://${SETTING_HOST}/", PRICE: "5 $$"}
    ports: ["127.0.0.1:8080:80", {target: 81, published: 8081, host_ip: "::1"}]
    volumes: ["data:/data:ro", {type: tmpfs, target: /tmp}]
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    security_opt: ["no-new-privileges:true"]
    restart: unless-stopped
    networks: [inside]
  once: {image: web, restart: "no", environment: ["A=${SECRET_A}"]}
volumes: {data: }
networks: {inside: {internal: true}}
"""


def test_an_app_that_asks_for_nothing_of_the_host_is_taken_as_it_is() -> None:
    document, problems = read_compose("packs/x/compose.yaml", GOOD)

    assert problems == []
    assert document is not None
    assert variables_of(document) == {"SECRET_TOKEN", "SETTING_HOST", "SECRET_A"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("privileged: true", "not_allowed"),
        ("network_mode: host", "not_allowed"),
        ("pid: host", "not_allowed"),
        ("ipc: host", "not_allowed"),
        ("userns_mode: host", "not_allowed"),
        ("cgroup_parent: /", "not_allowed"),
        ("devices: [/dev/sda]", "not_allowed"),
        ("build: .", "not_allowed"),
        ("extends: {file: /etc/x.yaml, service: y}", "not_allowed"),
        ("env_file: /etc/shadow", "not_allowed"),
        ("volumes_from: [container:other]", "not_allowed"),
        ("sysctls: {kernel.shmmax: 1}", "not_allowed"),
        ("runtime: other", "not_allowed"),
        ("logging: {driver: syslog}", "not_allowed"),
        ("deploy: {}", "not_allowed"),
        ("secrets: [x]", "not_allowed"),
        ("volumes: [/:/host]", "host_mount"),
        ("volumes: [./x:/x]", "host_mount"),
        ("volumes: [~/x:/x]", "host_mount"),
        ("volumes: [/var/run/docker.sock:/var/run/docker.sock]", "host_mount"),
        ("volumes: [{type: bind, source: /, target: /host}]", "host_mount"),
        ("volumes: [{type: volume, source: data, target: /x, volume: {}}]", "host_mount"),
        ("volumes: [other:/x]", "host_mount"),
        ('ports: ["8080:80"]', "port_exposed"),
        ('ports: ["80"]', "port_exposed"),
        ("ports: [80]", "port_exposed"),
        ('ports: ["0.0.0.0:8080:80"]', "port_exposed"),
        ("ports: [{target: 80, published: 80}]", "port_exposed"),
        ("cap_add: [SYS_ADMIN]", "privileged"),
        ("cap_add: [ALL]", "privileged"),
        ('security_opt: ["seccomp:unconfined"]', "privileged"),
        ('security_opt: ["apparmor=unconfined"]', "privileged"),
        ("restart: sometimes", "bad_value"),
        ("networks: [host]", "unknown_network"),
        ("networks: [[host]]", "unknown_network"),
        ("networks: {default: {driver_opts: {}}}", "not_allowed"),
        ("volumes: [{type: volume, source: [], target: /x}]", "host_mount"),
        ("environment: [HTTPS_PROXY]", "variable"),
        ("environment: {HTTPS_PROXY: }", "variable"),
        ("environment: {A: [1]}", "variable"),
        ("environment: 5", "wrong_type"),
        ("labels: {xyn.wanted: mine}", "reserved_name"),
        ('labels: ["com.docker.compose.project=other"]', "reserved_name"),
        ('command: ["$HOME"]', "variable"),
        ('volumes: ["${X}:/x"]', "variable"),
        ('environment: {A: "${X:-/}"}', "variable"),
        ('environment: {A: "$X"}', "variable"),
        ('labels: {"${X}": y}', "variable"),
    ],
)
def test_what_would_reach_the_host_is_refused_at_its_line(line: str, code: str) -> None:
    text = f"services:\n  web:\n    image: x\n    {line}\nvolumes: {{data: }}\n"

    document, problems = read_compose("packs/x/compose.yaml", text)

    assert document is None
    assert code in {each.code for each in problems}
    assert {each.line for each in problems} == {4}


@pytest.mark.parametrize(
    "text",
    [
        "services: {w: {image: x}}\ninclude: [/etc/x.yaml]\n",
        "services: {w: {image: x}}\nname: other\n",
        "services: {w: {image: x}}\nconfigs: {a: {file: /etc/passwd}}\n",
        "services: {w: {image: x}}\nvolumes: {a: {driver_opts: {o: bind, device: /}}}\n",
        "services: {w: {image: x}}\nvolumes: {a: {external: true}}\n",
        "services: {w: {image: x}}\nnetworks: {a: {driver: host}}\n",
        "services: {w: {image: x}}\nx-anything: 1\n",
        "services: {w: {image: x}}\nvolumes: {a: {labels: {com.docker.x: y}}}\n",
        "services: {w: }\n",
        "services: {}\n",
        "services: []\n",
        "- 1\n",
        "services: {w: {image: x, volumes: a}}\n",
        "services: {W: {image: x}}\n",
    ],
)
def test_nor_does_the_file_reach_it_by_another_way(text: str) -> None:
    document, problems = read_compose("packs/x/compose.yaml", text)

    assert document is None
    assert problems


def test_an_image_is_pinned_by_its_digest_alone() -> None:
    digest = "sha256:" + "a" * 64

    assert is_pinned(digest)
    assert is_pinned(f"registry.example.net:5000/web@{digest}")
    assert not is_pinned("web:1")
    assert not is_pinned(f"web:{digest}")
