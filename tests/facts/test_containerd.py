from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.versions import Version, parse
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost

V1 = '[plugins.cri]\nsandbox_image = "mirror/pause:v1"\n'
V2 = '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "mirror/pause:v2"\n'
V3 = "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'mirror/pause:v3'\n"


def read(version: str, files: dict[str, str] | str, *cmdline: str) -> ContainerdConfig:
    found: Version | None = parse(version)
    assert found is not None
    host = FakeHost({CONFIG: files} if isinstance(files, str) else dict(files))
    return ContainerdConfig.read(host, found, cmdline=cmdline)


def image(config: ContainerdConfig) -> str | None:
    return config.sandbox.value if config.sandbox else None


@dataclass(frozen=True)
class Case:
    """A file, the release that reads it, and what comes of it."""

    sentence: str
    version: str
    files: str | dict[str, str]
    image: str | None
    ignored: list[str] = field(default_factory=list)
    problem: str | None = None


DROP_IN = "/etc/containerd/conf.d/9.toml"


def with_drop_in(main: str, drop_in: str) -> dict[str, str]:
    return {CONFIG: f'imports = ["/etc/containerd/conf.d/*.toml"]\n{main}', DROP_IN: drop_in}


CASES = [
    Case("1.6 reads the v2 table of a version 2 file", "1.6.20", "version = 2\n" + V2, "mirror/pause:v2"),
    Case("1.7 reads the v2 table of a version 2 file", "1.7.34", "version = 2\n" + V2, "mirror/pause:v2"),
    Case("2.0 migrates the v2 table of a version 2 file", "2.0.11", "version = 2\n" + V2, "mirror/pause:v2"),
    Case("2.3 migrates the v2 table of a version 2 file", "2.3.4", "version = 2\n" + V2, "mirror/pause:v2"),
    Case("1.7 reads the v1 table of a file without version", "1.7.34", V1, "mirror/pause:v1"),
    Case("1.7 ignores the v2 table of a file without version", "1.7.34", V2, None, ["mirror/pause:v2"]),
    Case("1.6 ignores the v3 table of a version 2 file", "1.6.20", "version = 2\n" + V3, None, ["mirror/pause:v3"]),
    Case("2.0 ignores the v1 table of a file without version", "2.0.11", V1, None, ["mirror/pause:v1"]),
    Case("2.1 ignores the v2 table of a file without version", "2.1.5", V2, None, ["mirror/pause:v2"]),
    Case("2.2 ignores the v1 table of a version 1 file", "2.2.7", "version = 1\n" + V1, None, ["mirror/pause:v1"]),
    Case("2.2 reads the v3 table of a version 1 file", "2.2.7", "version = 1\n" + V3, "mirror/pause:v3"),
    Case("2.3 migrates the v1 table of a file without version", "2.3.4", V1, "mirror/pause:v1"),
    Case("2.3 migrates the v2 table of a file without version", "2.3.4", V2, "mirror/pause:v2"),
    Case("2.0 ignores the v2 table of a version 3 file", "2.0.0", "version = 3\n" + V2, None, ["mirror/pause:v2"]),
    Case("2.2 ignores the v2 table of a version 3 file", "2.2.7", "version = 3\n" + V2, None, ["mirror/pause:v2"]),
    Case("2.3 migrates the v2 table of a version 3 file", "2.3.4", "version = 3\n" + V2, "mirror/pause:v2"),
    Case("2.3 ignores the v2 table of a version 4 file", "2.3.4", "version = 4\n" + V2, None, ["mirror/pause:v2"]),
    Case("2.3 reads the v3 table of a version 4 file", "2.3.4", "version = 4\n" + V3, "mirror/pause:v3"),
    Case("the v2 table wins where it is migrated beside a v3 one", "2.1.5", "version = 2\n" + V2 + V3, "mirror/pause:v2", ["mirror/pause:v3"]),
    Case("1.6.20 takes version 3 for 2 and ignores the v3 table", "1.6.20", "version = 3\n" + V2 + V3, "mirror/pause:v2", ["mirror/pause:v3"]),
    Case("1.6.32 refuses version 3", "1.6.32", "version = 3\n" + V2, "mirror/pause:v2", problem="does not start"),
    Case("1.7.16 takes version 3 for 2", "1.7.16", "version = 3\n" + V2, "mirror/pause:v2"),
    Case("1.7.17 refuses version 3", "1.7.17", "version = 3\n" + V2, "mirror/pause:v2", problem="does not start"),
    Case("2.2 refuses version 4", "2.2.7", "version = 4\n" + V3, "mirror/pause:v3", problem="does not start"),
    Case("2.3 refuses version 5", "2.3.4", "version = 5\n" + V3, "mirror/pause:v3", problem="does not start"),
    Case("a short name in a version 2 file keeps 1.7 from starting", "1.7.34", "version = 2\n" + V1, None, ["mirror/pause:v1"], "no full name"),
    Case("2.x takes no sandbox_image in the v3 table", "2.1.5", "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsandbox_image = 'a/pause:1'\n", None, ["a/pause:1"]),
    Case("2.x takes no sandbox_image in the runtime's v3 table", "2.1.5", "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\nsandbox_image = 'a/pause:1'\n", None, ["a/pause:1"]),
    Case("the same image in a table that is not read is no news", "2.1.5", "version = 3\n" + V3 + V2.replace("v2", "v3"), "mirror/pause:v3"),
    Case("an empty value counts and is no image", "1.7.34", 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = ""\n', "", problem="is empty"),
    Case("a value that is no string keeps CRI from loading", "1.7.34", 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = 3\n', None, problem="not a string"),
    Case("no file at all means the built-in image", "2.1.5", {}, None),
    Case("1.6.20 takes a version 3 beside a version 2", "1.6.20", with_drop_in("version = 3\n" + V2, "version = 2\n"), "mirror/pause:v2"),
    # drop-ins
    Case("a drop-in overrides the main file on purpose", "1.7.34", with_drop_in("version = 2\n" + V2, "version = 2\n" + V2.replace("v2", "drop")), "mirror/pause:drop"),
    Case("1.7 loses the image when a drop-in has the table without it", "1.7.34", with_drop_in("version = 2\n" + V2, 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nmax_container_log_line_size = 1\n'), None, ["mirror/pause:v2"]),
    Case("2.x merges a drop-in with the main file's table", "2.1.5", with_drop_in("version = 2\n" + V2, 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nmax_container_log_line_size = 1\n'), "mirror/pause:v2"),
    Case("a version 3 drop-in voids the v2 tables of 2.1", "2.1.5", with_drop_in("version = 2\n" + V2, "version = 3\n"), None, ["mirror/pause:v2"]),
    Case("a version 2 drop-in makes v2 tables count on 2.1", "2.1.5", with_drop_in("version = 3\n" + V2, "version = 2\n"), "mirror/pause:v2"),
    Case("2.3 refuses a drop-in newer than the main file", "2.3.4", with_drop_in("version = 2\n" + V2, "version = 3\n" + V3), "mirror/pause:v3", problem="is above 2"),
    Case("2.3 migrates each file by itself", "2.3.4", with_drop_in("version = 3\n" + V3, "version = 2\n" + V2), "mirror/pause:v2"),
    Case("a drop-in without version keeps the version 2 of 1.7", "1.7.34", with_drop_in("version = 2\n", V2), "mirror/pause:v2"),
    Case("a version 2 drop-in makes 1.7 read the main file as version 2", "1.7.34", with_drop_in(V2, "version = 2\n"), "mirror/pause:v2"),
    Case("a missing import keeps 2.x from starting", "2.1.5", {CONFIG: 'version = 3\nimports = ["/nowhere.toml"]\n' + V3}, "mirror/pause:v3", problem="not there"),
    Case("a pattern that matches nothing is fine", "2.1.5", {CONFIG: 'version = 3\nimports = ["/nowhere/*.toml"]\n' + V3}, "mirror/pause:v3"),
    Case("a relative import is the importing file's neighbour", "2.1.5", {CONFIG: 'version = 3\nimports = ["more.toml"]\n', "/etc/containerd/more.toml": "version = 3\n" + V3}, "mirror/pause:v3"),
    Case("a relative pattern is the importing file's neighbour since 1.7.16", "1.7.16", {CONFIG: 'version = 2\nimports = ["conf.d/*.toml"]\n', DROP_IN: "version = 2\n" + V2}, "mirror/pause:v2"),
    Case("a relative pattern was the root folder's before 1.7.16", "1.7.15", {CONFIG: 'version = 2\nimports = ["conf.d/*.toml"]\n', DROP_IN: "version = 2\n" + V2}, None),
    Case("files that import each other are read once", "2.1.5", {CONFIG: f'version = 3\nimports = ["{CONFIG}"]\n' + V3}, "mirror/pause:v3"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_which_sandbox_image_counts(case: Case) -> None:
    config = read(case.version, case.files)

    assert image(config) == case.image
    assert [setting.value for setting in config.ignored] == case.ignored
    if case.problem is None:
        assert config.problems == ()
    else:
        assert case.problem in config.problems[0].message


def test_what_counts_and_what_does_not_are_told_by_file_and_line() -> None:
    config = read("2.1.5", "version = 3\n\n[plugins]\n" + V2)

    [ignored] = config.ignored
    assert ignored.kind == "wrong-table"
    assert ignored.source == "/etc/containerd/config.toml:5"
    assert ignored.key == 'plugins."io.containerd.grpc.v1.cri".sandbox_image'
    assert ignored.counts == 'plugins."io.containerd.cri.v1.images".pinned_images.sandbox'
    assert "version = 3" in ignored.why
    assert "containerd 2.1.5" in ignored.why


def test_a_file_that_is_no_toml_is_told_with_its_line() -> None:
    [problem] = read("1.7.34", "version = 2\n[plugins\n").problems

    assert (problem.path, problem.line) == (CONFIG, 2)


def test_the_daemons_command_line_names_the_file() -> None:
    config = read("1.7.34", {"/opt/c.toml": "version = 2\n" + V2}, "containerd", "--config", "/opt/c.toml")

    assert config.path == "/opt/c.toml"
    assert image(config) == "mirror/pause:v2"


def test_a_file_that_we_may_not_read_is_no_default() -> None:
    with pytest.raises(HostError, match="Permission denied"):
        ContainerdConfig.read(FakeHost(denied={CONFIG}), (1, 7, 34))


@pytest.mark.parametrize(
    ("version", "text", "off"),
    [
        ("1.7.34", 'disabled_plugins = ["cri"]\n', True),
        ("1.7.34", 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n', True),
        ("2.1.5", 'disabled_plugins = ["cri"]\n', True),
        ("2.1.5", 'version = 3\ndisabled_plugins = ["io.containerd.cri.v1.images"]\n', True),
        ("1.7.34", 'version = 2\ndisabled_plugins = ["io.containerd.internal.v1.opt"]\n', False),
    ],
)
def test_disabled_plugins_may_switch_cri_off(version: str, text: str, *, off: bool) -> None:
    assert (read(version, text).disabled is not None) is off


REGISTRY_2 = '[plugins."io.containerd.grpc.v1.cri".registry]\n'
REGISTRY_3 = "[plugins.'io.containerd.cri.v1.images'.registry]\n"


@pytest.mark.parametrize(
    ("sentence", "version", "text", "folders"),
    [
        ("1.7 reads no hosts.toml by itself", "1.7.34", "version = 2\n", ()),
        ("2.1 reads no hosts.toml by itself", "2.1.9", "version = 3\n", ()),
        ("one folder counts", "1.7.34", f'version = 2\n{REGISTRY_2}config_path = "/c"\n', ("/c",)),
        ("a list counts on 2.0", "2.0.11", f'version = 3\n{REGISTRY_3}config_path = "/c:/d"\n', ("/c", "/d")),
        ("a list is taken for one folder on 2.1", "2.1.9", f'version = 3\n{REGISTRY_3}config_path = "/c:/d"\n', ("/c:/d",)),
        ("a list counts on 2.1 that pulls locally", "2.1.9", f'version = 3\n{REGISTRY_3}config_path = "/c:/d"\n[plugins."io.containerd.cri.v1.images"]\nuse_local_image_pull = true\n', ("/c", "/d")),
        ("a number of downloads makes 2.1 pull locally", "2.1.9", f'version = 3\n{REGISTRY_3}config_path = "/c:/d"\n[plugins."io.containerd.cri.v1.images"]\nmax_concurrent_downloads = 5\n', ("/c", "/d")),
        ("the list built into 2.2 is taken for one folder", "2.2.7", "version = 3\n", ("/etc/containerd/certs.d:/etc/docker/certs.d",)),
        ("the list built into 2.3 counts when pulling locally", "2.3.4", 'version = 3\n[plugins."io.containerd.cri.v1.images"]\nmax_concurrent_downloads = 5\n', ("/etc/containerd/certs.d", "/etc/docker/certs.d")),
        ("an empty path switches the built-in list of 2.2.1 off", "2.2.1", f'version = 3\n{REGISTRY_3}config_path = ""\n', ()),
        ("an empty path does not switch it off since 2.2.2", "2.2.2", f'version = 3\n{REGISTRY_3}config_path = ""\n', ("/etc/containerd/certs.d:/etc/docker/certs.d",)),
        ("old mirrors keep the built-in list of 2.2.2 away", "2.2.2", f"version = 3\n{REGISTRY_3}[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a']\nendpoint = ['http://b']\n", ()),
    ],
)  # fmt: skip
def test_where_hosts_toml_files_are_looked_for(
    sentence: str, version: str, text: str, folders: tuple[str, ...]
) -> None:
    assert read(version, text).certs_folders == folders, sentence


@pytest.mark.parametrize(
    ("version", "text", "conflict"),
    [
        ("1.7.34", f'version = 2\n{REGISTRY_2}config_path = "/c"\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."a"]\nendpoint = ["b"]\n', True),
        ("1.7.34", f'version = 2\n{REGISTRY_2}config_path = "/c"\n[plugins."io.containerd.grpc.v1.cri".registry.configs."a".tls]\nca_file = "b"\n', True),
        ("2.1.5", f'version = 2\n{REGISTRY_2}config_path = "/c"\n[plugins."io.containerd.grpc.v1.cri".registry.configs."a".tls]\nca_file = "b"\n', False),
        ("2.2.1", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a']\nendpoint = ['b']\n", True),
        ("2.2.2", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a']\nendpoint = ['b']\n", False),
    ],
)  # fmt: skip
def test_old_mirrors_beside_a_config_path_keep_cri_from_loading(version: str, text: str, *, conflict: bool) -> None:
    problems = read(version, text).problems

    assert bool(problems) is conflict
    assert all("not load" in problem.message for problem in problems)


def test_mirrors_in_a_table_that_is_not_read_are_ignored() -> None:
    config = read("2.1.5", f'version = 3\n{REGISTRY_2}config_path = "/etc/containerd/certs.d"\n')

    [ignored] = config.ignored
    assert ignored.source == f"{CONFIG}:3"
    assert ignored.counts == 'plugins."io.containerd.cri.v1.images".registry.config_path'


def test_a_config_path_lost_to_a_drop_in_is_told() -> None:
    config = read("1.6.20", with_drop_in(f'version = 2\n{REGISTRY_2}config_path = "/c"\n', "version = 2\n" + V2))

    [ignored] = config.ignored
    assert (ignored.kind, ignored.value) == ("shadowed", "/c")
    assert DROP_IN in ignored.why


def test_cni_settings_come_from_the_runtime_table() -> None:
    text = """
version = 3
[plugins.'io.containerd.cri.v1.runtime'.cni]
conf_dir = '/etc/net.d'
bin_dirs = ['/a', '/b']
max_conf_num = 0
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]
cni_conf_dir = '/etc/kata-net.d'
"""
    config = read("2.1.5", text)

    assert config.cni_conf_dir == "/etc/net.d"
    assert config.cni_bin_dirs == ("/a", "/b")
    assert config.cni_max_conf_num == 0
    assert config.cni_conf_dirs_by_runtime == {"kata": "/etc/kata-net.d"}
    assert read("2.0.5", text).cni_bin_dirs == ("/opt/cni/bin",)  # bin_dirs came with 2.1


CNI_2 = "[plugins.'io.containerd.grpc.v1.cri'.cni]\n"
CNI_3 = "[plugins.'io.containerd.cri.v1.runtime'.cni]\n"


@pytest.mark.parametrize(
    ("text", "folders", "loads"),
    [
        (f"version = 3\n{CNI_3}bin_dir = '/a'\n", ("/a",), True),
        (f"version = 3\n{CNI_3}bin_dir = '/a'\nbin_dirs = ['/opt/cni/bin']\n", ("/a",), True),
        (f"version = 3\n{CNI_3}bin_dir = '/a'\nbin_dirs = ['/b']\n", ("/b",), False),
        (f"version = 2\n{CNI_2}bin_dir = '/a'\nbin_dirs = ['/b']\n", ("/a",), True),
        (f"version = 2\n{CNI_2}bin_dir = '/a'\n{CNI_3}bin_dirs = ['/b']\n", ("/a",), True),
    ],
)
def test_bin_dir_beside_bin_dirs_keeps_the_cri_plugin_of_2_1_from_loading(
    text: str, folders: tuple[str, ...], *, loads: bool
) -> None:
    config = read("2.1.5", text)

    assert config.cni_bin_dirs == folders
    assert [problem.line for problem in config.problems] == ([] if loads else [3])
    assert read("2.0.5", text).problems == ()


@pytest.mark.parametrize(("version", "folder"), [("2.0.1", "/etc/cni/net.d"), ("2.0.2", "/new"), ("2.3.4", "/new")])
def test_what_the_new_table_says_of_cni_stays_beside_a_migrated_one(version: str, folder: str) -> None:
    text = f"version = 2\n{CNI_2}max_conf_num = 3\n{CNI_3}conf_dir = '/new'\nmax_conf_num = 4\n"
    config = read(version, text)

    assert config.cni_conf_dir == folder
    assert config.cni_max_conf_num == (3 if version == "2.0.1" else 4)


@pytest.mark.parametrize(("schema", "loads"), [(2, False), (3, True)])
def test_an_empty_path_of_the_old_table_gets_the_built_in_list_of_2_2_0(schema: int, *, loads: bool) -> None:
    table = "io.containerd.grpc.v1.cri" if schema == 2 else "io.containerd.cri.v1.images"
    registry = f"[plugins.'{table}'.registry]\nconfig_path = ''\n"
    mirrors = f"[plugins.'{table}'.registry.mirrors.'a']\nendpoint = ['http://b']\n"

    assert (read("2.2.0", f"version = {schema}\n{registry}{mirrors}").problems == ()) is loads
    assert read("2.2.2", f"version = {schema}\n{registry}{mirrors}").problems == ()


def test_cni_settings_of_a_version_2_file_are_migrated() -> None:
    text = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\nconf_dir = "/etc/net.d"\nbin_dir = "/a"\n'

    for version in ("1.6.20", "2.1.5", "2.3.4"):
        config = read(version, text)
        assert (config.cni_conf_dir, config.cni_bin_dirs, config.cni_max_conf_num) == ("/etc/net.d", ("/a",), 1)


@pytest.mark.parametrize(("version", "problems"), [((1, 7, 34), 0), ((2, 0, 0), 1)])
def test_a_byte_order_mark_keeps_the_file_from_being_read_since_2_0(version: Version, problems: int) -> None:
    found = ContainerdConfig.read(FakeHost({CONFIG: "\ufeffversion = 2\n"}), version)

    assert len(found.problems) == problems
