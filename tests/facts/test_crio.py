from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts import crio_hosts
from k8sdoctor.facts.crio import CONFIG, DROP_INS, KEY, CrioConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.registries_conf import CONFIG as REGISTRIES
from k8sdoctor.facts.registries_conf import DROP_INS as REGISTRIES_D
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.facts.registry_chain import RegistryChain

ACCEPT = json.dumps({"default": [{"type": "insecureAcceptAnything"}]})
POLICY = "/etc/containers/policy.json"
PAUSE = "registry.k8s.io/pause:3.10"
UPSTREAM = "https://registry.k8s.io/v2"
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUWCk=\n-----END CERTIFICATE-----\n"


def read(files: dict[str, str], *cmdline: str, held: str | None = None) -> CrioConfig:
    return CrioConfig.read(FakeHost(files), (1, 32, 4), cmdline=("crio", *cmdline), held=held)


def pause(image: str) -> str:
    return f'[crio.image]\npause_image = "{image}"\n'


# -- which image ---------------------------------------------------------------------------------------------------------------


def test_drop_ins_override_the_main_file_in_the_order_of_their_names_whatever_those_are() -> None:
    files = {CONFIG: pause("main"), f"{DROP_INS}/10-a.conf": pause("ten"), f"{DROP_INS}/20.bak": pause("twenty")}
    config = read(files)

    assert config.sandbox_image == "twenty"
    assert config.pause is not None
    assert config.pause.source == f"{DROP_INS}/20.bak:2"
    assert config.ignored == ()


def test_sub_folders_of_drop_ins_are_read_in_their_place() -> None:
    files = {
        f"{DROP_INS}/10-a/x": pause("ten"),
        f"{DROP_INS}/05": pause("five"),
        f"{DROP_INS}/20/.hidden": pause("last"),
    }

    assert read(files).sandbox_image == "last"


def test_the_command_line_counts_most() -> None:
    config = read({CONFIG: pause("main")}, "--pause-image=flag")

    assert config.sandbox_image == "flag"
    assert config.pause is not None
    assert config.pause.source == "CRI-O's command line"


def test_the_command_line_names_the_files() -> None:
    files = {"/opt/crio.conf": pause("opt"), "/opt/d/1": '[crio.network]\nnetwork_dir = "/etc/net"\n'}
    config = read(files, "--config", "/opt/crio.conf", "-d", "/opt/d")

    assert config.sandbox_image == "opt"
    assert (config.cni_conf_dir, config.cni_bin_dirs) == ("/etc/net", ("/opt/cni/bin",))


def test_the_old_folder_of_plugins_is_looked_into_after_the_others() -> None:
    config = read({CONFIG: '[crio.network]\nplugin_dir = "/usr/lib/cni"\n'})

    assert config.cni_bin_dirs == ("/opt/cni/bin", "/usr/lib/cni")


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ((1, 20, 9), "k8s.gcr.io/pause:3.2"),
        ((1, 22, 0), "k8s.gcr.io/pause:3.5"),
        ((1, 23, 5), "k8s.gcr.io/pause:3.6"),
        ((1, 24, 0), "registry.k8s.io/pause:3.6"),
        ((1, 27, 0), "registry.k8s.io/pause:3.6"),
        ((1, 27, 1), "registry.k8s.io/pause:3.9"),
        ((1, 30, 1), "registry.k8s.io/pause:3.9"),
        ((1, 33, 0), "registry.k8s.io/pause:3.10"),
        ((1, 36, 3), "registry.k8s.io/pause:3.10.1"),
    ],
)
def test_without_a_setting_the_release_decides(version: tuple[int, int, int], image: str) -> None:
    assert CrioConfig.read(FakeHost(), version).sandbox_image == image


@pytest.mark.parametrize("table", ["", "[crio]\n", "[crio.runtime]\n"])
def test_a_pause_image_outside_of_crio_image_is_ignored(table: str) -> None:
    config = read({CONFIG: f'{table}pause_image = "mine"\n'})

    assert config.sandbox_image == PAUSE
    [ignored] = config.ignored
    assert (ignored.kind, ignored.value, ignored.counts) == ("wrong-table", "mine", KEY)


def test_the_running_daemon_counts_more_than_a_file_that_it_has_not_read() -> None:
    config = read({CONFIG: pause("new")}, held="old")

    assert (config.sandbox_image, config.written_image) == ("old", "new")
    assert config.ignored[0].kind == "not-loaded"


def test_a_drop_in_that_is_no_toml_is_a_problem_with_its_line() -> None:
    [problem] = read({f"{DROP_INS}/x": "[crio\n"}).problems

    assert (problem.path, problem.line) == (f"{DROP_INS}/x", 1)


def test_a_file_that_we_may_not_read_is_no_default() -> None:
    with pytest.raises(HostError, match="Permission denied"):
        CrioConfig.read(FakeHost(denied={CONFIG}), (1, 32, 4))


# -- which hosts ---------------------------------------------------------------------------------------------------------------


def chain(files: dict[str, str], image: str = PAUSE, *cmdline: str) -> RegistryChain:
    host = FakeHost({POLICY: ACCEPT, **files})
    config = CrioConfig.read(host, (1, 36, 3), cmdline=("crio", *cmdline))
    return crio_hosts.chain(host, config, ImageReference.parse(image))


def urls(found: RegistryChain) -> list[str]:
    return [host.url(host.manifest) for host in found.hosts]


UPSTREAM_MANIFEST = f"{UPSTREAM}/pause/manifests/3.10"


def test_without_configuration_the_registry_itself_is_asked() -> None:
    found = chain({})

    assert urls(found) == [UPSTREAM_MANIFEST]
    assert found.hosts[0].upstream
    assert found.stoppers == ()


def test_mirrors_come_first_with_their_own_path() -> None:
    text = """
[[registry]]
location = "registry.k8s.io"
[[registry.mirror]]
location = "m:5000/k8s"
insecure = true
[[registry.mirror]]
location = "n.lab"
"""
    found = chain({REGISTRIES: text})

    assert urls(found) == [
        "https://m:5000/v2/k8s/pause/manifests/3.10",
        "https://n.lab/v2/pause/manifests/3.10",
        UPSTREAM_MANIFEST,
    ]
    assert [host.verify for host in found.hosts] == [False, True, True]
    assert [host.http_fallback for host in found.hosts] == ["http://m:5000/v2", None, None]
    assert found.hosts[0].source == f"{REGISTRIES}:2"
    assert found.hosts[0].mirror_ns is None


@pytest.mark.parametrize(
    ("prefix", "location", "url"),
    [
        ("registry.k8s.io", "m.lab/x", "https://m.lab/v2/x/pause/manifests/3.10"),
        ("registry.k8s.io/pause", "m.lab/p", "https://m.lab/v2/p/manifests/3.10"),
        ("*.k8s.io", "m.lab", "https://m.lab/v2/pause/manifests/3.10"),
        ("*.k8s.io", "", UPSTREAM_MANIFEST),
        ("registry.k8s", "m.lab", UPSTREAM_MANIFEST),
        ("*.io", "m.lab", "https://m.lab/v2/pause/manifests/3.10"),
        ("k8s.io", "m.lab", UPSTREAM_MANIFEST),
    ],
)
def test_a_location_takes_the_prefixs_place(prefix: str, location: str, url: str) -> None:
    place = f'location = "{location}"\n' if location else ""

    assert urls(chain({REGISTRIES: f'[[registry]]\nprefix = "{prefix}"\n{place}'})) == [url]


def test_the_longest_prefix_counts() -> None:
    text = '[[registry]]\nlocation = "registry.k8s.io"\nblocked = true\n[[registry]]\nprefix = "registry.k8s.io/pause"\nlocation = "m.lab/p"\n'

    assert urls(chain({REGISTRIES: text})) == ["https://m.lab/v2/p/manifests/3.10"]


@pytest.mark.parametrize(
    ("setting", "image", "asked"),
    [
        ('pull-from-mirror = "digest-only"', PAUSE, 1),
        ('pull-from-mirror = "tag-only"', PAUSE, 2),
        ('pull-from-mirror = "all"', PAUSE, 2),
        ('pull-from-mirror = "tag-only"', "registry.k8s.io/pause@sha256:" + "0" * 64, 1),
    ],
)
def test_mirrors_may_be_for_tags_or_digests_alone(setting: str, image: str, asked: int) -> None:
    text = f'[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "m.lab"\n{setting}\n'
    found = chain({REGISTRIES: text}, image)

    assert len(found.hosts) == asked
    assert len(found.skipped) == 2 - asked


def test_mirrors_by_digest_only_are_skipped_for_a_tag() -> None:
    text = '[[registry]]\nlocation = "registry.k8s.io"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m.lab"\n'
    found = chain({REGISTRIES: text})

    assert urls(found) == [UPSTREAM_MANIFEST]
    assert "digests only" in found.skipped[0].why


def test_a_blocked_registry_is_still_pulled_from_its_mirror() -> None:
    text = '[[registry]]\nlocation = "registry.k8s.io"\nblocked = true\n[[registry.mirror]]\nlocation = "m.lab"\n'
    found = chain({REGISTRIES: text})

    assert urls(found) == ["https://m.lab/v2/pause/manifests/3.10"]
    assert "blocks" in found.skipped[0].why
    assert found.stoppers == ()


def test_a_blocked_registry_without_mirrors_stops_the_pull() -> None:
    [stopper] = chain({REGISTRIES: '[[registry]]\nlocation = "registry.k8s.io"\nblocked = true\n'}).stoppers

    assert stopper.kind == "blocked"
    assert stopper.source == f"{REGISTRIES}:1"


def test_a_drop_in_takes_a_registrys_place_with_all_its_mirrors() -> None:
    main = '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "m.lab"\n'
    found = chain({REGISTRIES: main, f"{REGISTRIES_D}/9.conf": '[[registry]]\nlocation = "registry.k8s.io"\n'})

    assert urls(found) == [UPSTREAM_MANIFEST]
    [ignored] = found.ignored
    assert (ignored.kind, ignored.value, ignored.source) == ("shadowed", "m.lab", f"{REGISTRIES}:1")


def test_of_two_registries_with_one_prefix_in_a_file_the_first_counts() -> None:
    one = '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "{}"\n'
    found = chain({REGISTRIES: one.format("a.lab") + one.format("b.lab")})

    assert urls(found)[0] == "https://a.lab/v2/pause/manifests/3.10"
    assert found.ignored[0].value == "b.lab"


def test_a_drop_in_of_another_name_is_told() -> None:
    text = '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "m.lab"\n'
    found = chain({f"{REGISTRIES_D}/mirror.toml": text, f"{REGISTRIES_D}/old.conf.bak": text})

    assert urls(found) == [UPSTREAM_MANIFEST]
    [ignored] = found.ignored
    assert (ignored.kind, ignored.counts) == ("other-folder", f"{REGISTRIES_D}/mirror.conf")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[registry]\n", "Expected"),
        ('[[registry]]\nlocation = "https://registry.k8s.io"\n', "scheme"),
        ('[[registry]]\nprefix = "a"\n', "no location"),
        ("[[registry]]\n", "neither"),
        ('[registry]\nlocation = "a"\n', "[[registry]]"),
        ('[[registry]]\nlocation = "a"\ninsecure = "true"\n', "`insecure`"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\ninsecure = true\n', "no location"),
        ('[[registry]]\nlocation = "a"\npull-from-mirror = "all"\n', "belongs"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "never"\n', "'never'"),
        ('[[registry]]\nlocation = "a"\n[registries.search]\nregistries = ["b"]\n', "mixes"),
        ('[[registry]]\nprefix = "*.a/b"\nlocation = "a"\n', "wildcard"),
        ('[[registry]]\nlocation = "a"\n[[registry]]\nprefix = "b"\nlocation = "a"\nblocked = true\n', "`blocked`"),
        ('[[registry]]\nlocation = "a"\ninsecure = true\n[[registry]]\nlocation = "a"\n', "`insecure`"),
        ('unqualified-search-registries = ["https://quay.io"]\n', "host[:port]"),
        ('unqualified-search-registries = "quay.io"\n', "host[:port]"),
        ('[registries.search]\nregistries = ["quay.io/x"]\n', "host[:port]"),
        ('short-name-mode = "prompt"\n', "short-name-mode"),
        ('short-name-mode = "disabled"\n[registries.block]\nregistries = ["a"]\n', "mixes"),
    ],
)  # fmt: skip
def test_a_broken_registries_conf_fails_every_pull(text: str, why: str) -> None:
    [stopper] = chain({REGISTRIES: text}).stoppers

    assert stopper.kind == "config-invalid"
    assert stopper.source.startswith(REGISTRIES)
    assert why in stopper.why


@pytest.mark.parametrize("location", ["m:port/x", "mirror", "mirror/k8s", "docker.io", "index.docker.io/x"])
def test_a_location_that_makes_no_full_name_of_the_image_fails_every_pull(location: str) -> None:
    """`mirror/pause` would be docker.io/mirror/pause, and `docker.io/pause` docker.io/library/pause."""
    upstream, mirror = f'location = "{location}"\n', f'[[registry.mirror]]\nlocation = "{location}"\n'
    own = 'location = "registry.k8s.io"\n'
    for text in (upstream, own + mirror):
        [stopper] = chain({REGISTRIES: f'[[registry]]\nprefix = "registry.k8s.io"\n{text}'}).stoppers

        assert (stopper.kind, stopper.base_url) == ("config-invalid", None)


@pytest.mark.parametrize("location", ["localhost/k8s", "mirror:5000", "MIRROR/k8s", "docker.io/rancher", "[::1]:5000"])
def test_a_location_that_makes_a_full_name_is_asked(location: str) -> None:
    found = chain({REGISTRIES: f'[[registry]]\nprefix = "registry.k8s.io"\nlocation = "{location}"\n'})

    assert (len(found.hosts), found.stoppers) == (1, ())


def test_a_mirror_for_digests_may_have_any_name_as_long_as_tags_are_pulled() -> None:
    mirror = '[[registry.mirror]]\nlocation = "mirror"\npull-from-mirror = "digest-only"\n'
    found = chain({REGISTRIES: f'[[registry]]\nlocation = "registry.k8s.io"\n{mirror}'})

    assert (urls(found), found.stoppers) == ([UPSTREAM_MANIFEST], ())


def test_two_of_one_location_may_stand_in_different_files_or_agree() -> None:
    one = '[[registry]]\nlocation = "registry.k8s.io"\n'
    other = '[[registry]]\nprefix = "old.lab"\nlocation = "registry.k8s.io"\n'
    blocked = f"{other}blocked = true\n"

    assert chain({REGISTRIES: one + other}).stoppers == ()
    assert chain({REGISTRIES: one, f"{REGISTRIES_D}/1.conf": blocked}).stoppers == ()


def test_a_wildcard_precedes_a_name_of_its_length() -> None:
    text = (
        '[[registry]]\nprefix = "a.k8s.io"\nlocation = "m.lab"\n[[registry]]\nprefix = "*.k8s.io"\nlocation = "n.lab"\n'
    )

    assert urls(chain({REGISTRIES: text}, "a.k8s.io/pause:1")) == ["https://n.lab/v2/pause/manifests/1"]


def test_the_old_format_still_says_insecure_and_blocked() -> None:
    found = chain({REGISTRIES: '[registries.insecure]\nregistries = ["registry.k8s.io"]\n'})

    assert not found.hosts[0].verify
    assert found.hosts[0].http_fallback == "http://registry.k8s.io/v2"


def test_roots_own_registries_conf_takes_the_systems_place() -> None:
    mirror = '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "{}"\n'
    own = "/root/.config/containers/registries.conf"
    found = chain(
        {
            REGISTRIES: mirror.format("a.lab"),
            f"{REGISTRIES_D}/1.conf": mirror.format("b.lab"),
            own: mirror.format("c.lab"),
        }
    )

    assert urls(found)[0] == "https://c.lab/v2/pause/manifests/3.10"


def test_short_names_go_to_docker_hub() -> None:
    text = 'unqualified-search-registries = ["quay.io"]\n'

    assert urls(chain({REGISTRIES: text}, "pause:1")) == ["https://registry-1.docker.io/v2/library/pause/manifests/1"]


@pytest.mark.parametrize("root", ["/etc/containers/certs.d", "/etc/docker/certs.d"])
def test_certificates_come_from_the_first_folder_that_is_there(root: str) -> None:
    found = chain({f"{root}/registry.k8s.io/ca.crt": PEM})

    assert found.hosts[0].ca_files == (f"{root}/registry.k8s.io/ca.crt",)


def test_an_empty_folder_hides_the_certificates_of_the_next() -> None:
    found = chain({"/etc/containers/certs.d/registry.k8s.io/": "", "/etc/docker/certs.d/registry.k8s.io/ca.crt": PEM})

    assert found.hosts[0].ca_files == ()


@pytest.mark.parametrize("name", ["c.cert", "c.key"])
def test_half_a_client_certificate_fails_its_host(name: str) -> None:
    [stopper] = chain({f"/etc/containers/certs.d/registry.k8s.io/{name}": PEM}).stoppers

    assert (stopper.kind, stopper.base_url) == ("client-certificate-unreadable", UPSTREAM)


def test_insecure_registries_of_crio_conf_no_longer_count() -> None:
    found = chain({CONFIG: '[crio.image]\ninsecure_registries = ["registry.k8s.io"]\n'})

    assert found.hosts[0].verify
    assert found.ignored[0].kind == "without-effect"


# -- policy and credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("{", "no valid policy"),
        ("[]", "no valid policy"),
        ("{}", "no valid policy"),
        ({"default": [{"type": "reject"}]}, "rejects"),
        ({"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"*.k8s.io": [{"type": "reject"}]}}}, "rejects"),
        ({"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"": [{"type": "reject"}]}}}, "rejects"),
    ],
)  # fmt: skip
def test_a_policy_that_is_broken_or_rejects_stops_the_pull(policy: object, why: str) -> None:
    [stopper] = chain({POLICY: policy if isinstance(policy, str) else json.dumps(policy)}).stoppers

    assert stopper.kind == "policy"
    assert why in stopper.why


def test_the_most_special_scope_of_a_policy_counts() -> None:
    policy = {
        "default": [{"type": "reject"}],
        "transports": {"docker": {"registry.k8s.io": [{"type": "insecureAcceptAnything"}]}},
    }

    assert chain({POLICY: json.dumps(policy)}).stoppers == ()


def test_without_any_policy_nothing_is_pulled() -> None:
    host = FakeHost()
    [stopper] = crio_hosts.chain(host, CrioConfig.read(host, (1, 36, 3)), ImageReference.parse(PAUSE)).stoppers

    assert (stopper.kind, stopper.path) == ("policy", POLICY)


def test_the_configuration_may_name_another_policy() -> None:
    [stopper] = chain({CONFIG: '[crio.image]\nsignature_policy = "/p.json"\n'}).stoppers

    assert stopper.path == "/p.json"


def test_credentials_come_from_the_pause_images_own_file() -> None:
    auths = {"auths": {"https://m:5000/v2/": {"auth": "REDACTED-1"}}}
    text = '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "m:5000/k8s"\n'
    files = {
        CONFIG: '[crio.image]\npause_image_auth_file = "/a.json"\n',
        "/a.json": json.dumps(auths),
        REGISTRIES: text,
    }
    mirror, upstream = chain(files).hosts

    assert mirror.credentials is not None
    assert (mirror.credentials.auth, mirror.credentials.source) == ("REDACTED-1", "/a.json")
    assert upstream.credentials is None
