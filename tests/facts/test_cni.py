"""What each runtime makes of a CNI folder, and what is known of the programs that it needs."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parents[1] / "data" / "control-plane-v1.36"
BRIDGE = (DATA / "cni-net.d" / "10-bridge.conflist").read_text()
FLANNEL = json.dumps(
    {"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel", "delegate": {"isDefaultGateway": True}}]}
)
PLUGINS = {f"/opt/cni/bin/{name}": "" for name in ("bridge", "host-local", "portmap", "loopback", "flannel")}
D = "/etc/cni/net.d"


def containerd(version: tuple[int, int, int] = (1, 6, 20), **info: Any) -> Runtime:
    return Runtime(kind="containerd", version=version, reachable=True, info=info)


def crio(*, ready: bool = True) -> Runtime:
    del ready
    return Runtime(kind="cri-o", version=(1, 33, 0), reachable=True)


def look(
    files: Mapping[str, str | HostError],
    runtime: Runtime | None = None,
    settings: CniSettings | None = None,
    *,
    modes: dict[str, int] | None = None,
    **verbs: Any,
) -> CniFolder:
    runtime = runtime or containerd()
    settings = settings or CniSettings(needs_loopback=runtime.kind != "cri-o")
    return CniFolder.observe(FakeHost({**PLUGINS, **files}, modes=modes, **verbs), runtime, settings)


def names(folder: CniFolder) -> list[str]:
    return [file.path.rpartition("/")[2] for file in folder.loaded]


def test_the_recorded_node_loads_its_bridge_network() -> None:
    folder = look({f"{D}/10-bridge.conflist": BRIDGE})

    assert folder.chosen is not None
    assert (folder.chosen.name, folder.chosen.cni_version) == ("cbr0", "0.4.0")
    assert folder.plugin_types == ("bridge", "host-local", "portmap")
    assert folder.bridges == ("cni0",)
    assert folder.subnets == (ipaddress.ip_network("10.244.0.0/24"),)
    assert (folder.uses_ipv4, folder.uses_ipv6) == (True, False)
    assert not folder.refusals


def test_flannel_makes_cni0_and_takes_its_subnet_from_its_own_file() -> None:
    env = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"

    folder = look({f"{D}/10-flannel.conflist": FLANNEL, "/run/flannel/subnet.env": env})

    assert folder.plugin_types == ("flannel", "bridge", "host-local")
    assert folder.bridges == ("cni0",)
    assert folder.subnets == (ipaddress.ip_network("10.244.1.0/24"),)


def test_files_are_taken_in_bytewise_order() -> None:
    files = {f"{D}/{name}": BRIDGE for name in ("100-crio.conflist", "10-antrea.conflist", "a.conflist", "Z.conflist")}

    folder = look(files, settings=CniSettings(max_conf_num=0))

    assert names(folder) == ["10-antrea.conflist", "100-crio.conflist", "Z.conflist", "a.conflist"]


def test_only_three_extensions_count_and_a_hidden_file_is_no_exception() -> None:
    counted = {f"{D}/{name}": BRIDGE for name in (".hidden.conflist", ".conflist")}
    others = {f"{D}/{name}": "x" for name in ("10-x.conflist.bak", "10-x.conflist~", "readme", "sub/10-y.conflist")}

    folder = look(counted | others, settings=CniSettings(max_conf_num=0))

    assert names(folder) == [".conflist", ".hidden.conflist"]


def test_containerd_reads_one_file_and_never_the_second() -> None:
    folder = look({f"{D}/10-a.conflist": BRIDGE, f"{D}/20-b.conflist": "not json"})

    assert names(folder) == ["10-a.conflist"]
    assert [file.path for file in folder.unread] == [f"{D}/20-b.conflist"]
    assert folder.broken is None


def test_one_invalid_file_fails_containerds_whole_load() -> None:
    folder = look({f"{D}/10-a.conflist": "{", f"{D}/20-b.conflist": BRIDGE})

    assert folder.loaded == ()
    assert folder.broken is not None
    assert folder.broken.path == f"{D}/10-a.conflist"


def test_the_same_folder_is_good_for_crio_which_passes_over_an_invalid_file() -> None:
    folder = look({f"{D}/10-a.conflist": "{", f"{D}/20-b.conflist": BRIDGE}, crio())

    assert names(folder) == ["20-b.conflist"]
    assert [file.path for file, _ in folder.skipped] == [f"{D}/10-a.conflist"]


def test_crio_passes_over_a_network_whose_plugin_is_missing_and_does_not_look_for_its_address_management() -> None:
    other = BRIDGE.replace('"bridge"', '"macvlan"', 1).replace("host-local", "whereabouts")
    folder = look(
        {f"{D}/10-a.conflist": other, f"{D}/20-b.conflist": BRIDGE.replace("host-local", "whereabouts")}, crio()
    )

    assert names(folder) == ["20-b.conflist"]
    [(file, [refusal])] = folder.skipped
    assert (file.path, refusal.kind, refusal.requirement.type) == (f"{D}/10-a.conflist", "missing", "macvlan")
    assert [refusal.requirement.type for _, refusal in folder.refusals] == ["whereabouts"]


def test_crio_uses_the_network_that_it_was_told_to() -> None:
    files = {f"{D}/10-a.conflist": BRIDGE, f"{D}/20-b.conflist": BRIDGE.replace("cbr0", "wanted")}

    folder = look(files, crio(), CniSettings(max_conf_num=0, default_network="wanted", needs_loopback=False))

    assert names(folder) == ["20-b.conflist"]


def test_a_missing_folder_holds_nothing_and_other_folders_are_named() -> None:
    folder = look({"/etc/cni/conf.d/10-a.conflist": BRIDGE})

    assert (folder.exists, folder.files, folder.chosen) == (False, (), None)
    assert folder.elsewhere == ("/etc/cni/conf.d/10-a.conflist",)


def test_a_folder_that_we_may_not_list_is_not_an_empty_one() -> None:
    host = FakeHost({f"{D}/10-a.conflist": BRIDGE}, denied={D})

    with pytest.raises(HostError) as caught:
        CniFolder.observe(host, containerd(), CniSettings())

    assert caught.value.reason == "NotPermitted"


def test_a_file_that_we_may_not_read_is_neither_good_nor_broken() -> None:
    folder = look({f"{D}/10-a.conflist": HostError("NotPermitted", "Permission denied")})

    assert folder.broken is not None
    assert (folder.broken.error, folder.broken.unseen is not None) == (None, True)


def test_a_link_that_leads_nowhere_fails_the_load() -> None:
    folder = look({f"{D}/10-a.conflist": HostError("NotFound", "gone")})

    assert folder.broken is not None
    assert folder.broken.error is not None
    assert "leads nowhere" in folder.broken.error.message


def test_a_program_is_looked_for_in_every_plugin_folder_and_then_elsewhere() -> None:
    settings = CniSettings(plugin_folders=("/opt/cni/bin", "/usr/libexec/cni"))
    network = BRIDGE.replace('"portmap"', '"tuning"').replace("host-local", "whereabouts")

    folder = look(
        {f"{D}/10-a.conflist": network, "/usr/libexec/cni/tuning": "", "/usr/lib/cni/whereabouts": ""},
        settings=settings,
    )

    assert folder.executables["tuning"].path == "/usr/libexec/cni/tuning"
    assert folder.executables["whereabouts"].path is None
    assert folder.executables["whereabouts"].elsewhere == "/usr/lib/cni/whereabouts"


def test_a_plugin_that_manages_addresses_elsewhere_needs_no_program_for_it_here() -> None:
    antrea = json.dumps({"name": "antrea", "plugins": [{"type": "antrea", "ipam": {"type": "host-local"}}]})

    assert look({f"{D}/10-antrea.conflist": antrea}).plugin_types == ("antrea",)


def test_a_folder_with_a_plugins_name_is_no_plugin() -> None:
    folder = look({f"{D}/10-a.conflist": BRIDGE.replace("portmap", "tuning"), "/opt/cni/bin/tuning/x": ""})

    assert folder.executables["tuning"].path is None


def test_a_plugin_is_asked_which_versions_it_knows() -> None:
    def run(argv: list[str]) -> Any:
        assert argv[:2] == ["env", "CNI_COMMAND=VERSION"]
        known = ["0.4.0", "1.0.0"] if argv[2].endswith("bridge") else ["0.4.0"]
        return {"code": 0, "out": json.dumps({"cniVersion": "1.0.0", "supportedVersions": known}), "err": ""}

    folder = look({f"{D}/10-a.conflist": BRIDGE.replace("0.4.0", "1.0.0")}, run=run)

    assert [(refusal.kind, refusal.requirement.type) for _, refusal in folder.refusals] == [
        ("version", "host-local"),
        ("version", "portmap"),
    ]


def test_a_plugin_without_the_executable_bit_or_of_another_architecture_cannot_run() -> None:
    def run(argv: list[str]) -> Any:
        wrong = argv[2].endswith("portmap")
        err = f"env: '{argv[2]}': Exec format error\n"
        return {"code": 126, "out": "", "err": err} if wrong else {"code": 0, "out": "", "err": ""}

    folder = look({f"{D}/10-a.conflist": BRIDGE}, modes={"/opt/cni/bin/bridge": 0o644}, run=run)

    assert folder.executables["bridge"].problem == "its mode is 0644"
    assert folder.executables["portmap"].problem == "it cannot be run (Exec format error)"


def test_after_one_plugin_that_hangs_no_other_is_asked() -> None:
    asked: list[str] = []

    def run(argv: list[str]) -> Any:
        asked.append(argv[-1])
        raise HostError("DeadlineExceeded", "`env` did not end within 5 s")

    folder = look({f"{D}/10-a.conflist": BRIDGE}, run=run)

    assert asked == ["/opt/cni/bin/bridge"]
    assert not folder.refusals


def test_a_plugin_that_we_may_not_run_says_nothing_about_the_runtime() -> None:
    identity = {"hostname": "n", "kernel": "6.1", "machine": "x86_64", "euid": 1000}
    denied = {"code": 126, "out": "", "err": "env: '/opt/cni/bin/bridge': Permission denied"}

    folder = look({f"{D}/10-a.conflist": BRIDGE}, run=denied, identity=identity)

    assert not folder.refusals


LOOPBACK = {"Config": {"Name": "cni-loopback", "Source": '{"cniVersion": "0.3.1"}'}, "IFName": "lo"}


def held(*sources: str) -> dict[str, Any]:
    return {"Networks": [LOOPBACK, *({"Config": {"Name": "x", "Source": source}} for source in sources)]}


def test_what_containerd_holds_is_compared_by_meaning_and_not_by_blanks() -> None:
    spaced = json.dumps(json.loads(BRIDGE), indent=4)

    assert not look({f"{D}/10-a.conflist": spaced}, containerd(cniconfig=held(BRIDGE))).is_stale
    assert look({f"{D}/10-a.conflist": spaced}, containerd(cniconfig=held(BRIDGE.replace("cni0", "cni1")))).is_stale
    assert look({f"{D}/10-a.conflist": spaced}, containerd(cniconfig={"Networks": None})).is_stale


def test_a_single_plugin_file_is_compared_as_the_list_that_libcni_makes_of_it() -> None:
    single = {"cniVersion": "0.3.1", "name": "one", "type": "bridge", "bridge": "cni0"}
    kept = json.dumps({"cniVersion": "0.3.1", "name": "one", "plugins": [single]})

    assert not look({f"{D}/10-a.conf": json.dumps(single)}, containerd(cniconfig=held(kept))).is_stale


def test_half_of_a_surrogate_pair_is_held_by_containerd_as_the_replacement_character() -> None:
    single = '{"cniVersion": "0.3.1", "name": "one", "type": "bridge", "vendor": "\\ud800"}'
    kept = '{"cniVersion": "0.3.1", "name": "one", "plugins": [%s]}'
    listed = kept % single

    assert not look(
        {f"{D}/10-a.conf": single}, containerd(cniconfig=held(kept % single.replace("\\ud800", "\ufffd")))
    ).is_stale
    assert not look(
        {f"{D}/10-a.conflist": listed}, containerd(cniconfig=held(listed))
    ).is_stale  # a list's bytes are kept
    assert look({f"{D}/10-a.conf": single}, containerd(cniconfig=held(kept % single.replace("\\ud800", "?")))).is_stale


def test_a_runtime_that_does_not_tell_what_it_holds_is_not_called_stale() -> None:
    assert not look({f"{D}/10-a.conflist": BRIDGE}, crio()).is_stale


@pytest.mark.parametrize(("inode", "watched"), [("1", True), ("2", False)])
def test_a_watch_on_a_folder_that_is_gone_is_told_from_one_on_the_folder_that_is_there(
    inode: str, watched: object
) -> None:
    runtime = Runtime(kind="containerd", version=(1, 6, 20), pid=7, reachable=True, info={"cniconfig": held()})
    fdinfo = f"pos:\t0\nflags:\t02004000\nmnt_id:\t15\ninotify wd:1 ino:{inode} sdev:33 mask:fc6 ignored_mask:0\n"

    folder = look({f"{D}/10-a.conflist": BRIDGE, "/proc/7/fdinfo/5": fdinfo}, runtime)

    assert (folder.is_stale, folder.watched) == (True, watched)


def test_a_handler_with_a_folder_of_its_own_is_looked_at_too() -> None:
    settings = CniSettings(handlers={"kata": CniSettings(folder="/etc/kata/net.d")})

    folder = look({f"{D}/10-a.conflist": BRIDGE, "/etc/kata/net.d/10-k.conflist": "{"}, settings=settings)

    [kata] = folder.handlers
    assert (kata.handler, kata.broken is not None) == ("kata", True)
