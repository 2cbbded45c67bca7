from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts import containerd_hosts
from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.versions import parse
from k8sdoctor.host.fake import FakeHost

if TYPE_CHECKING:
    from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost

PAUSE = "registry.k8s.io/pause:3.8"
FOLDER = "/etc/containerd/certs.d/registry.k8s.io"
HOSTS = f"{FOLDER}/hosts.toml"
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUWCk=\n-----END CERTIFICATE-----\n"
V2 = 'plugins."io.containerd.grpc.v1.cri".registry'
V3 = "plugins.'io.containerd.cri.v1.images'.registry"
CONFIG_PATH = f'version = 2\n[{V2}]\nconfig_path = "/etc/containerd/certs.d"\n'


def chain(
    files: dict[str, str], *, version: str = "1.7.34", config: str = CONFIG_PATH, image: str = PAUSE
) -> RegistryChain:
    host = FakeHost({CONFIG: config, **files})
    release = parse(version)
    assert release is not None
    return containerd_hosts.chain(host, ContainerdConfig.read(host, release), ImageReference.parse(image))


def urls(found: RegistryChain) -> list[str]:
    return [host.base_url for host in found.hosts]


def one(text: str, *, version: str = "1.7.34", image: str = PAUSE) -> RegistryHost:
    """The first host of a hosts.toml."""
    folder = ImageReference.parse(image).registry
    return chain({f"/etc/containerd/certs.d/{folder}/hosts.toml": text}, version=version, image=image).hosts[0]


UPSTREAM = "https://registry.k8s.io/v2"


def test_without_a_folder_the_registry_itself_is_asked() -> None:
    [host] = chain({}).hosts

    assert host.base_url == UPSTREAM
    assert host.upstream
    assert host.mirror_ns is None
    assert host.url(host.manifest) == "https://registry.k8s.io/v2/pause/manifests/3.8"
    assert host.source == "default"


def test_mirrors_are_asked_in_the_order_of_the_file_and_then_the_registry() -> None:
    found = chain({HOSTS: '[host."https://b"]\n[host."https://a"]\n'})

    assert urls(found) == ["https://b/v2", "https://a/v2", UPSTREAM]
    assert [host.source for host in found.hosts] == [f"{HOSTS}:1", f"{HOSTS}:2", HOSTS]
    assert found.hosts[0].url(found.hosts[0].manifest) == "https://b/v2/pause/manifests/3.8?ns=registry.k8s.io"
    assert found.folder == FOLDER


def test_a_server_takes_the_registrys_place() -> None:
    found = chain({HOSTS: 'server = "https://m"\n[host."https://a"]\n'})

    assert urls(found) == ["https://a/v2", "https://m/v2"]
    assert found.hosts[-1].source == f"{HOSTS}:1"
    assert not found.hosts[-1].upstream


@pytest.mark.parametrize("version", ["1.6.20", "1.6.36", "1.7.31"])
def test_a_file_with_a_server_alone_is_dropped_before_1_7_32(version: str) -> None:
    found = chain({HOSTS: 'server = "https://m"\n'}, version=version)

    assert urls(found) == [UPSTREAM]
    [ignored] = found.ignored
    assert ignored.kind == "malformed"
    assert "no [host] table" in ignored.why


@pytest.mark.parametrize("version", ["1.7.32", "2.0.0", "2.3.4"])
def test_a_file_with_a_server_alone_counts_since_1_7_32(version: str) -> None:
    assert urls(chain({HOSTS: 'server = "https://m"\n'}, version=version)) == ["https://m/v2"]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("https://m", "https://m/v2"),
        ("m", "https://m/v2"),
        ("m:5000", "https://m:5000/v2"),
        ("http://m:5000", "http://m:5000/v2"),
        ("https://m/", "https://m/v2"),
        ("https://m/proxy", "https://m/proxy/v2"),
        ("https://m/v2/proxy", "https://m/v2/proxy/v2"),
        ("https://m/v2", "https://m/v2"),
        ("https://m/proxy/v2/", "https://m/proxy/v2"),
        ("https://[::1]:5000", "https://[::1]:5000/v2"),
    ],
)
def test_how_a_hosts_name_becomes_a_url(written: str, asked: str) -> None:
    assert one(f'[host."{written}"]\n').base_url == asked


@pytest.mark.parametrize(
    ("written", "asked"),
    [("https://m/v2/proxy", "https://m/v2/proxy"), ("https://m", "https://m"), ("https://m/", "https://m")],
)
def test_override_path_leaves_the_path_as_it_is(written: str, asked: str) -> None:
    host = one(f'[host."{written}"]\noverride_path = true\n')

    assert host.base_url == asked
    assert host.url("") == f"{asked}/?ns=registry.k8s.io"


def test_a_name_that_begins_with_http_is_no_url() -> None:
    found = chain({HOSTS: '[host."httpmirror:5000"]\n'})

    assert urls(found) == [UPSTREAM]
    assert "taken for a URL" in found.skipped[0].why


def test_a_mirror_that_may_only_pull_is_skipped_for_a_tag() -> None:
    found = chain({HOSTS: '[host."https://m"]\ncapabilities = ["pull"]\n'})

    assert urls(found) == [UPSTREAM]
    [skipped] = found.skipped
    assert (skipped.url, skipped.source) == ("https://m/v2", f"{HOSTS}:1")
    assert '"resolve"' in skipped.why


def test_a_mirror_that_may_only_pull_is_asked_for_a_digest() -> None:
    digest = "sha256:" + "0" * 64
    found = chain({HOSTS: '[host."https://m"]\ncapabilities = ["pull"]\n'}, image=f"registry.k8s.io/pause:3.8@{digest}")

    assert urls(found) == ["https://m/v2", UPSTREAM]
    assert found.hosts[0].reference == digest


def test_a_mirror_that_may_only_resolve_is_skipped() -> None:
    found = chain({HOSTS: '[host."https://m"]\ncapabilities = ["resolve"]\n'})

    assert urls(found) == [UPSTREAM]
    assert '"pull"' in found.skipped[0].why


def test_when_no_host_may_resolve_the_pull_fails() -> None:
    found = chain({HOSTS: 'server = "https://m"\ncapabilities = ["pull"]\n[host."https://n"]\ncapabilities=["push"]\n'})

    assert found.hosts == ()
    assert [stopper.kind for stopper in found.stoppers] == ["no-host"]
    assert len(found.skipped) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[host."https://m"\n', "Expected"),
        ('[host."https://m"]\ncapabilities = ["pull", "cache"]\n', "'cache'"),
        ('[host."https://m"]\ncapabilities = "pull"\n', "not a list"),
        ('[host."https://m"]\nca = 3\n', "`ca`"),
        ('[host."https://m"]\nskip_verify = "true"\n', "`skip_verify`"),
        ('[host."https://m"]\noverride_path = "yes"\n', "`override_path`"),
        ('[host."https://m"]\nclient = [["a"]]\n', "`client`"),
        ('[host."https://m"]\nheader = "a"\n', "`header`"),
        ('[host."https://m".header]\na = 1\n', "`a`"),
        ('server = ["https://m"]\n[host."https://m"]\n', "`server`"),
        ('[host."https://[::1"]\n', "no URL"),
        ('[host."https://m:port"]\n', "no URL"),
        ("[[host]]\n", "`host`"),
        ('[host]\nm = "https://m"\n', "not a table"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_ignored_as_a_whole(text: str, why: str) -> None:
    found = chain({HOSTS: text})

    assert urls(found) == [UPSTREAM]
    [ignored] = found.ignored
    assert ignored.kind == "malformed"
    assert why in ignored.why
    assert ignored.source.startswith(HOSTS)


def test_the_capability_referrers_makes_a_file_malformed_before_2_2() -> None:
    text = '[host."https://m"]\ncapabilities = ["pull", "resolve", "referrers"]\n'

    assert one(text, version="2.1.9").upstream
    assert one(text, version="2.2.0").base_url == "https://m/v2"


def test_capabilities_are_read_in_any_case_and_an_empty_list_is_all() -> None:
    assert one('[host."https://m"]\ncapabilities = ["Pull", "RESOLVE"]\n').capabilities == {"pull", "resolve"}
    assert one('[host."https://m"]\ncapabilities = []\n').capabilities == {"pull", "resolve", "push"}


def test_a_malformed_file_leaves_the_certificates_beside_it() -> None:
    found = chain({HOSTS: "[", f"{FOLDER}/ca.crt": PEM, f"{FOLDER}/c.cert": PEM, f"{FOLDER}/c.key": "key"})

    [host] = found.hosts
    assert host.ca_files == (f"{FOLDER}/ca.crt",)
    assert host.client_certificate == (f"{FOLDER}/c.cert", f"{FOLDER}/c.key")
    assert found.stoppers == ()


def test_a_certificate_without_a_key_file_is_taken_to_hold_both() -> None:
    [host] = chain({f"{FOLDER}/c.cert": PEM}).hosts

    assert host.client_certificate == (f"{FOLDER}/c.cert", f"{FOLDER}/c.cert")


def test_an_empty_file_is_none() -> None:
    found = chain({HOSTS: "", f"{FOLDER}/ca.crt": PEM})

    assert found.hosts[0].ca_files == (f"{FOLDER}/ca.crt",)
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ('"ca.pem"', (f"{FOLDER}/ca.pem",)),
        ('"/ca.pem"', ("/ca.pem",)),
        ('["a.pem", "/b.pem"]', (f"{FOLDER}/a.pem", "/b.pem")),
    ],
)
def test_a_ca_is_a_path_or_a_list_of_paths_below_the_folder(written: str, files: tuple[str, ...]) -> None:
    assert one(f'[host."https://m"]\nca = {written}\n').ca_files == files


@pytest.mark.parametrize(
    ("written", "pair"),
    [
        ('"c.pem"', (f"{FOLDER}/c.pem", f"{FOLDER}/c.pem")),
        ('["/c.pem"]', ("/c.pem", "/c.pem")),
        ('[["/c.pem", "/k.pem"]]', ("/c.pem", "/k.pem")),
    ],
)
def test_a_client_certificate_has_three_forms(written: str, pair: tuple[str, str]) -> None:
    assert one(f'[host."https://m"]\nclient = {written}\n').client_certificate == pair


def test_verification_headers_and_timeouts_are_the_hosts_own() -> None:
    text = (
        '[host."https://m"]\nskip_verify = true\ndial_timeout = "1m5s"\n[host."https://m".header]\nX-A = ["b", "c"]\n'
    )
    host = one(text, version="2.0.7")

    assert not host.verify
    assert host.headers == {"X-A": "b, c"}
    assert host.dial_timeout == 65.0
    assert one(text, version="2.0.6").dial_timeout == 30.0  # the key came with 2.0.7


def test_a_root_level_ca_belongs_to_the_registry_itself() -> None:
    found = chain({HOSTS: 'ca = "/ca.pem"\n[host."https://m"]\n', "/ca.pem": PEM})

    assert [host.ca_files for host in found.hosts] == [(), ("/ca.pem",)]


@pytest.mark.parametrize(
    ("files", "why"),
    [({}, "does not exist"), ({"/ca.pem": "not PEM"}, "no certificate"), ({"/ca.pem/x": ""}, "not a regular file")],
)
def test_a_ca_that_cannot_be_loaded_fails_the_whole_pull(files: dict[str, str], why: str) -> None:
    found = chain({HOSTS: '[host."https://m"]\nca = "/ca.pem"\n', **files})

    [stopper] = found.stoppers
    assert (stopper.kind, stopper.path, stopper.base_url) == ("ca-unreadable", "/ca.pem", None)
    assert why in stopper.why
    assert found.ca_problems == (stopper,)


def test_a_ca_of_a_mirror_that_is_skipped_fails_the_pull_all_the_same() -> None:
    assert chain({HOSTS: '[host."https://m"]\ncapabilities = ["pull"]\nca = "/ca.pem"\n'}).ca_problems


def test_a_client_key_that_is_missing_fails_the_whole_pull() -> None:
    found = chain({HOSTS: '[host."https://m"]\nclient = [["/c.pem", "/k.pem"]]\n', "/c.pem": PEM})

    [stopper] = found.stoppers
    assert (stopper.kind, stopper.path) == ("client-certificate-unreadable", "/k.pem")


KEY = "-----BEGIN PRIVATE KEY-----\nREDACTED-1\n-----END PRIVATE KEY-----\n"


def test_a_client_certificate_in_a_file_without_a_key_fails_the_whole_pull() -> None:
    [stopper] = chain({f"{FOLDER}/c.cert": PEM}).stoppers

    assert (stopper.kind, stopper.path) == ("client-certificate-unreadable", f"{FOLDER}/c.cert")
    assert "no private key" in stopper.why
    assert chain({f"{FOLDER}/c.cert": PEM + KEY}).stoppers == ()


@pytest.mark.parametrize(
    ("version", "counts"), [("1.6.20", True), ("1.7.34", True), ("2.0.0", False), ("2.3.4", False)]
)
def test_a_byte_order_mark_is_passed_over_before_2_0_and_makes_the_file_malformed_since(
    version: str, *, counts: bool
) -> None:
    found = chain({HOSTS: '\ufeff[host."https://b"]\n[host."https://a"]\n'}, version=version)

    assert urls(found) == (["https://b/v2", "https://a/v2", UPSTREAM] if counts else [UPSTREAM])
    assert [one.kind for one in found.ignored] == ([] if counts else ["malformed"])
    assert all("https://b" in one.value for one in found.ignored), "the first line's mirror is named, too"


def test_every_host_of_the_file_may_be_asked_for_content_whatever_its_capabilities() -> None:
    written = [("push", "a"), ("resolve", "b"), ("pull", "c")]
    text = "".join(f'[host."https://{name}"]\ncapabilities = ["{word}"]\n' for word, name in written)

    found = chain({HOSTS: f'{text}[host."http://"]\n'})

    assert urls(found) == [UPSTREAM]
    assert [host.base_url for host in found.content_hosts] == ["https://a/v2", "https://b/v2", "https://c/v2", UPSTREAM]


def test_the_folders_names_are_tried_from_the_most_special() -> None:
    certs = "/etc/containerd/certs.d"
    files = {
        f"{certs}/m_5000_/hosts.toml": '[host."https://one"]\n',
        f"{certs}/m:5000/hosts.toml": '[host."https://two"]\n',
        f"{certs}/_default/hosts.toml": '[host."https://three"]\n',
    }
    first = []
    while files:
        found = chain(files, image="m:5000/pause:1")
        first.append(urls(found)[0])
        del files[next(iter(files))]

    assert first == ["https://one/v2", "https://two/v2", "https://three/v2"]


def test_a_mirror_for_all_is_told_whose_image_is_wanted() -> None:
    found = chain({"/etc/containerd/certs.d/_default/hosts.toml": '[host."https://m"]\n'})

    assert found.hosts[0].mirror_ns == "registry.k8s.io"
    assert urls(found)[-1] == UPSTREAM


def test_the_first_folder_of_a_list_that_knows_the_registry_counts() -> None:
    config = f'version = 2\n[{V2}]\nconfig_path = "/a:/b"\n'
    files = {"/b/registry.k8s.io/hosts.toml": '[host."https://b"]\n', "/a/other/hosts.toml": ""}

    assert urls(chain(files, config=config)) == ["https://b/v2", UPSTREAM]


# -- written where nobody looks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "config"),
    [("1.6.20", "version = 2\n"), ("1.7.34", "version = 2\n"), ("2.1.9", "version = 3\n"), ("2.3.4", "version = 3\n")],
)
def test_hosts_toml_without_a_config_path_is_never_read(version: str, config: str) -> None:
    found = chain({HOSTS: '[host."https://m"]\n'}, version=version, config=config)

    assert urls(found) == [UPSTREAM]
    [ignored] = found.ignored
    assert (ignored.kind, ignored.value, ignored.source) == ("no-config-path", "https://m", HOSTS)
    assert ignored.counts is not None
    assert ignored.counts.endswith("registry.config_path")


def test_the_built_in_list_counts_where_2_3_pulls_locally() -> None:
    config = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n"

    assert urls(chain({HOSTS: '[host."https://m"]\n'}, version="2.3.4", config=config)) == ["https://m/v2", UPSTREAM]


def test_hosts_toml_in_another_folder_is_told() -> None:
    config = f'version = 2\n[{V2}]\nconfig_path = "/etc/registries"\n'
    [ignored] = chain({HOSTS: '[host."https://m"]\n'}, config=config).ignored

    assert ignored.kind == "other-folder"
    assert "/etc/registries" in ignored.why


def test_a_file_that_would_change_nothing_is_no_news() -> None:
    text = 'server = "https://registry.k8s.io"\n'

    assert chain({HOSTS: text}, config="version = 2\n").ignored == ()


def test_another_file_name_in_the_right_folder_is_told() -> None:
    [ignored] = chain({f"{FOLDER}/host.toml": '[host."https://m"]\n'}).ignored

    assert ignored.source == f"{FOLDER}/host.toml"
    assert ignored.counts == HOSTS


def test_a_host_without_a_header_of_its_own_does_not_count_on_2_x() -> None:
    text = 'host."https://m".skip_verify = true\n'

    assert urls(chain({HOSTS: text}, version="1.7.34")) == ["https://m/v2", UPSTREAM]
    found = chain({HOSTS: text}, version="2.1.5")
    assert urls(found) == [UPSTREAM]
    assert "header of their own" in found.ignored[0].why


# -- plain HTTP and localhost -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "name", "asked", "fallback"),
    [
        ("1.6.20", "http://m:5000", "http://m:5000/v2", None),
        ("1.6.25", "http://m:5000", "https://m:5000/v2", "http://m:5000/v2"),
        ("1.7.7", "http://m:5000", "http://m:5000/v2", None),
        ("1.7.8", "http://m:5000", "https://m:5000/v2", "http://m:5000/v2"),
        ("1.7.8", "http://m:80", "http://m:80/v2", None),
        ("1.7.23", "http://m", "http://m/v2", None),
        ("1.7.24", "http://m", "https://m/v2", "http://m/v2"),
        ("2.1.5", "http://m", "https://m/v2", "http://m/v2"),
    ],
)
def test_an_http_host_with_tls_settings_is_asked_by_https_first(
    version: str, name: str, asked: str, fallback: str | None
) -> None:
    host = one(f'[host."{name}"]\nskip_verify = true\n', version=version)

    assert (host.base_url, host.http_fallback) == (asked, fallback)


def test_an_http_host_without_tls_settings_is_asked_in_plain_http() -> None:
    host = one('[host."http://m:5000"]\n', version="2.1.5")

    assert (host.base_url, host.http_fallback) == ("http://m:5000/v2", None)


@pytest.mark.parametrize(
    ("version", "registry", "asked", "fallback", "verify"),
    [
        ("1.6.20", "localhost:5000", "http://localhost:5000/v2", None, False),
        ("1.7.34", "localhost:5000", "https://localhost:5000/v2", "http://localhost:5000/v2", False),
        ("1.7.34", "127.0.0.1:5000", "https://127.0.0.1:5000/v2", "http://127.0.0.1:5000/v2", False),
        ("1.7.34", "localhost:443", "https://localhost:443/v2", None, False),
        ("1.7.34", "localhost:80", "http://localhost:80/v2", None, True),
    ],
)
def test_localhost_is_special(version: str, registry: str, asked: str, fallback: str | None, *, verify: bool) -> None:
    [host] = chain({}, version=version, image=f"{registry}/pause:1").hosts

    assert (host.base_url, host.http_fallback, host.verify) == (asked, fallback, verify)


def test_docker_hub_is_asked_by_its_real_name() -> None:
    [host] = chain({}, image="busybox").hosts

    assert host.url(host.manifest) == "https://registry-1.docker.io/v2/library/busybox/manifests/latest"
    assert host.upstream


# -- registry.mirrors of old ------------------------------------------------------------------------------------------------

MIRRORS = f'version = 2\n[{V2}.mirrors."registry.k8s.io"]\nendpoint = ["https://a", "http://b:5000", "c:5000/v2/x"]\n'


def test_old_mirrors_are_asked_in_order_and_then_the_registry() -> None:
    found = chain({}, config=MIRRORS)

    assert urls(found) == ["https://a/v2", "http://b:5000/v2", "https://c:5000/v2/x", UPSTREAM]
    assert found.hosts[0].source == f"{CONFIG}:3"
    assert found.hosts[0].mirror_ns == "registry.k8s.io"
    assert found.hosts[-1].source == "default"


@pytest.mark.parametrize("url", ["https://[::1", "https://m:port"])
def test_an_old_mirror_that_is_no_url_fails_the_pull(url: str) -> None:
    found = chain({}, config=MIRRORS.replace("https://a", url))

    assert [stopper.kind for stopper in found.stoppers] == ["config-invalid"]


def test_an_old_mirror_without_a_host_is_skipped() -> None:
    found = chain({}, config=MIRRORS.replace("https://a", "https://"))

    assert "no host" in found.skipped[0].why
    assert urls(found)[0] == "http://b:5000/v2"


def test_old_mirrors_work_on_2_x_as_well() -> None:
    assert urls(chain({}, config=MIRRORS, version="2.3.4"))[0] == "https://a/v2"


def test_an_old_mirror_with_a_slash_at_its_end_is_asked_without_v2() -> None:
    assert urls(chain({}, config=MIRRORS.replace('"https://a"', '"https://a/"')))[0] == "https://a"


def test_mirrors_of_the_wildcard_serve_registries_without_their_own() -> None:
    config = f'version = 2\n[{V2}.mirrors."*"]\nendpoint = ["https://all"]\n'

    assert urls(chain({}, config=config)) == ["https://all/v2", UPSTREAM]
    assert urls(chain({}, config=MIRRORS + config.partition("\n")[2]))[0] == "https://a/v2"


def test_a_registry_among_its_own_mirrors_is_not_added_again() -> None:
    config = f'version = 2\n[{V2}.mirrors."registry.k8s.io"]\nendpoint = ["https://registry.k8s.io", "https://a"]\n'

    assert urls(chain({}, config=config)) == [UPSTREAM, "https://a/v2"]


CONFIGS = (
    f'{MIRRORS}[{V2}.configs.a.auth]\nusername = "u"\npassword = "REDACTED-1"\n'
    f'[{V2}.configs.a.tls]\nca_file = "/ca.pem"\ninsecure_skip_verify = true\n'
)


def test_old_credentials_and_certificates_belong_to_a_host() -> None:
    found = chain({}, config=CONFIGS)

    host, other, *_ = found.hosts
    assert (host.ca_files, host.verify) == (("/ca.pem",), False)
    assert host.credentials is not None
    assert (host.credentials.username, host.credentials.password) == ("u", "REDACTED-1")
    assert other.credentials is None
    assert other.verify
    assert [stopper.kind for stopper in found.stoppers] == ["ca-unreadable"]


def test_2_x_no_longer_knows_the_certificates_of_old() -> None:
    found = chain({}, config=CONFIGS, version="2.1.5")

    assert found.hosts[0].ca_files == ()
    assert found.hosts[0].verify
    assert {one.kind for one in found.ignored} == {"without-effect"}
    assert len(found.ignored) == 2


def test_auths_are_credentials_by_url() -> None:
    config = f'{CONFIG_PATH}[{V2}.auths."https://registry.k8s.io"]\nauth = "REDACTED-2"\n'
    [host] = chain({}, config=config).hosts

    assert host.credentials is not None
    assert host.credentials.auth == "REDACTED-2"


def test_headers_for_all_are_sent_to_each() -> None:
    config = f'{CONFIG_PATH}[{V2}.headers]\nX-All = ["1"]\n'
    found = chain({HOSTS: '[host."https://m"]\n[host."https://m".header]\nX-Own = "2"\n'}, config=config)

    assert [host.headers for host in found.hosts] == [{"X-All": "1", "X-Own": "2"}, {"X-All": "1"}]


# -- what the running daemon holds ------------------------------------------------------------------------------------------


def test_a_running_daemon_of_1_x_counts_more_than_a_file_that_it_has_not_read() -> None:
    host = FakeHost({CONFIG: CONFIG_PATH, HOSTS: '[host."https://m"]\n'})
    running = {
        "sandboxImage": "old/pause:1",
        "registry": {"configPath": "", "mirrors": {"*": {"endpoint": ["https://n"]}}},
    }
    config = ContainerdConfig.read(host, (1, 7, 34), running=running)  # type: ignore[arg-type]
    found = containerd_hosts.chain(host, config, ImageReference.parse(PAUSE))

    assert config.sandbox_image == "old/pause:1"
    assert urls(found) == ["https://n/v2", UPSTREAM]
    assert found.hosts[0].source == "CRI status"
    [ignored] = config.ignored
    assert (ignored.kind, ignored.value, ignored.source) == ("not-loaded", "/etc/containerd/certs.d", f"{CONFIG}:3")


def test_a_running_daemon_that_holds_what_the_file_says_changes_nothing() -> None:
    host = FakeHost({CONFIG: CONFIG_PATH, HOSTS: '[host."https://m"]\n'})
    running = {"sandboxImage": PAUSE, "registry": {"configPath": "/etc/containerd/certs.d", "mirrors": None}}
    config = ContainerdConfig.read(host, (1, 7, 34), running=running)  # type: ignore[arg-type]

    assert config.ignored == ()
    assert urls(containerd_hosts.chain(host, config, ImageReference.parse(PAUSE)))[0] == "https://m/v2"


@pytest.mark.parametrize(
    "registry",
    [
        {"configPath": "", "mirrors": 0.5},
        {"configPath": "", "mirrors": {"*": "https://n"}},
        {"configPath": "", "mirrors": {"*": {"endpoint": "https://n"}}},
        {"configPath": ["/etc"], "mirrors": None},
        "none",
    ],
)
def test_a_status_of_another_shape_counts_nothing_and_the_files_do(registry: object) -> None:
    host = FakeHost({CONFIG: CONFIG_PATH, HOSTS: '[host."https://m"]\n'})
    config = ContainerdConfig.read(host, (1, 7, 34), running={"registry": registry})  # type: ignore[dict-item]

    assert config.ignored == ()
    assert urls(containerd_hosts.chain(host, config, ImageReference.parse(PAUSE)))[0] == "https://m/v2"
