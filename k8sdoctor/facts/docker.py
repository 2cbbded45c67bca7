"""Docker behind cri-dockerd (or behind kubelet's own Docker support, until 1.23): the sandbox image, and how dockerd pulls.

Read in cri-dockerd `cmd/cri/options/options.go` (tags 0.2.0 to 0.4.3) and moby `daemon/pkg/registry` (see docker_hosts).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from k8sdoctor.facts import versions
from k8sdoctor.facts.processes import Processes, flag
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.settings import ConfigProblem
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

CONFIG = "/etc/docker/daemon.json"
FLAG = "--pod-infra-container-image"

# By release of cri-dockerd, from the newest.
_DEFAULTS: tuple[tuple[Version, str], ...] = (
    ((0, 3, 17), "registry.k8s.io/pause:3.10"),
    ((0, 3, 10), "registry.k8s.io/pause:3.9"),
    ((0, 2, 6), "registry.k8s.io/pause:3.6"),
    ((0, 2, 1), "k8s.gcr.io/pause:3.6"),
)


def default_pause_image(version: Version) -> str:
    """The pause image built into a release of cri-dockerd.

    >>> default_pause_image((0, 3, 16))
    'registry.k8s.io/pause:3.9'
    """
    return next((image for first, image in _DEFAULTS if version >= first), "k8s.gcr.io/pause:3.1")


@dataclass(frozen=True)
class DockerConfig:
    """What cri-dockerd and dockerd were told."""

    program: str
    """The program that holds the flag, for messages: `cri-dockerd 0.3.16`."""
    sandbox_image: str
    source: str
    default: bool
    path: str
    """dockerd's configuration file, there or not."""
    files: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    proxies: ProxyEnvironment | None = None
    """`proxies` of daemon.json, which counts more than the environment (Docker 23.0)."""
    pid: int | None = None
    """dockerd's process: it is the one that pulls."""
    version: Version | None = None
    """Docker's own, not cri-dockerd's."""
    auth_files: tuple[str, ...] = ()
    """Where cri-dockerd (or kubelet's own Docker support) looks for credentials, in order."""
    problems: tuple[ConfigProblem, ...] = ()
    unknown: tuple[str, ...] = ()
    """Keys of the file that are none of dockerd's, and resemble those that concern registries."""

    @classmethod
    def observe(cls, host: Host, runtime: Runtime, processes: Processes | Unobserved) -> Self:
        """Read flags and daemon.json. Raises NotFound for another runtime or an unknown version, NotPermitted."""
        if runtime.kind != "cri-dockerd":
            raise HostError("NotFound", f"Docker is not the runtime here, {runtime.kind or 'none was found'}")
        program, image, source = _image(host, runtime)
        named = processes.named("dockerd") if isinstance(processes, Processes) else ()
        running = [process for process in named if process["cmdline"]]  # a zombie has none
        cmdline = running[0]["cmdline"] if running else []
        path = flag(cmdline, "--config-file") or CONFIG
        daemon: dict[str, Any] = {}
        problems = []
        text: str | None = None
        try:
            text = host.read_optional(path)
            daemon = _mapping(json.loads(text)) if text and text.strip() else {}
        except HostError as error:
            if error.reason == "NotPermitted":
                raise
            problems.append(ConfigProblem(path, None, error.message))
        except json.JSONDecodeError as error:
            problems.append(
                ConfigProblem(path, error.lineno, f"{error.msg} (column {error.colno}): dockerd does not start with it")
            )
        except (ValueError, RecursionError) as error:
            problems.append(ConfigProblem(path, None, f"{error}: dockerd does not start with it"))
        proxies = _mapping(daemon.get("proxies") or {}) if isinstance(daemon.get("proxies") or {}, dict) else {}
        told = {name: str(proxies.get(key) or "") for name, key in _PROXY_KEYS.items()}
        return cls(
            program=program,
            sandbox_image=image,
            source=source,
            default=source.startswith("built-in"),
            path=path,
            files=(path,) if text is not None else (),
            mirrors=(*_strings(daemon, "registry-mirrors"), *_all_flags(cmdline, "--registry-mirror")),
            insecure=(*_strings(daemon, "insecure-registries"), *_all_flags(cmdline, "--insecure-registry")),
            proxies=ProxyEnvironment.of(told, f"{path} (proxies)") if any(told.values()) else None,
            pid=running[0]["pid"] if running else None,
            version=runtime.version,
            auth_files=_auth_files(host, runtime),
            problems=tuple(problems),
            unknown=tuple(key for key in daemon if _resembles(key)),
        )


def _resembles(key: str) -> bool:
    """Whether a key was meant for one of the two lists of registries, and is neither."""
    plain = key.lower().replace("_", "-").removesuffix("s")
    plain = {"registrymirror": "registry-mirror", "insecureregistrie": "insecure-registrie"}.get(plain, plain)
    meant = plain in {"registry-mirror", "mirror", "insecure-registrie", "insecure-registry"}
    return meant and key not in {"registry-mirrors", "insecure-registries"}


_PROXY_KEYS = {"HTTP_PROXY": "http-proxy", "HTTPS_PROXY": "https-proxy", "NO_PROXY": "no-proxy"}


def _auth_files(host: Host, runtime: Runtime) -> tuple[str, ...]:
    """The config.json files of kubelet's credential provider (`pkg/credentialprovider/config.go` DefaultDockerConfigJSONPaths).

    They lie in kubelet's folder, which cri-dockerd does not know, then the working directory, `.docker` of the home folder, and /.docker. A system
    service has no HOME unless its unit sets one, and then no file of root's counts.
    """
    home = ""
    if runtime.pid is not None:
        try:
            pairs = (entry.partition("=") for entry in host.read(f"/proc/{runtime.pid}/environ").split("\0"))
            home = next((value for name, _, value in pairs if name == "HOME"), "")
        except HostError:
            home = "/root"  # not told
    shim = ("/var/lib/kubelet/config.json",) if "dockershim" in (runtime.endpoint or "") else ()
    own = (f"{home.rstrip('/')}/.docker/config.json",) if home else ()
    return (*shim, "/config.json", *own, "/.docker/config.json")


def _image(host: Host, runtime: Runtime) -> tuple[str, str, str]:
    """Whose flag it is, the image and where it is written. Raises NotFound when only an unknown release could tell."""
    given = flag(runtime.cmdline, FLAG)
    # Over CRI it tells Docker's version, not its own.
    try:
        version = versions.parse(host.run(runtime.cmdline[0] if runtime.cmdline else "cri-dockerd", "--version")["out"])
    except HostError:
        version = None
    program = f"cri-dockerd {versions.text(version)}" if version else "cri-dockerd"
    if given:
        return program, given, f"{FLAG} on cri-dockerd's command line"
    if version is None:
        raise HostError("NotFound", "cri-dockerd's version is not known, and its built-in pause image depends on it")
    return program, default_pause_image(version), f"built-in default of {program}"


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 -- the content is wrong, not our use of it
    return value


def _strings(daemon: dict[str, Any], key: str) -> tuple[str, ...]:
    values = daemon.get(key)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


def _all_flags(cmdline: list[str], name: str) -> Iterator[str]:
    for position, word in enumerate(cmdline):
        key, sign, value = word.partition("=")
        if key == name:
            yield value if sign else "".join(cmdline[position + 1 : position + 2])
