"""GET of a path of the API server, by the `kubernetes` client and a kubeconfig of the node.

Nothing is written and nothing is run: inline keys are handed to the client as memory files (it would write them to `/tmp`), and a
kubeconfig that gets its credentials from a program is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from k8sdoctor.host import light, workers
from k8sdoctor.host.base import HostError, Json
from k8sdoctor.host.tags import MISFITS

if TYPE_CHECKING:
    from k8sdoctor.host.answers import ResolveAnswer
    from k8sdoctor.host.live import LiveHost

ANSWER_LIMIT = 32 * 1024 * 1024
"""Bytes of an answer that we are willing to hold: the pods of one node are far fewer."""

SLACK = 0.5

# What a kubeconfig names by path or holds as base64 (client-go clientcmd/api/v1/types.go).
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key")

_CLIENT_COPY = "kubectl.kubernetes.io/last-applied-configuration"  # a copy of the whole object, secrets in it included


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `kube`; several facts want the same objects, and each is asked for once."""
    del verb
    question = cast("str", arguments["path"]), cast("str", arguments["kubeconfig"])
    asked: Future[Json] = Future()
    first = host.kube_answers.setdefault(question, asked)
    if first is asked:
        try:
            asked.set_result(_answer(host, arguments))
        except HostError as error:  # a server's words, and a URL, may hold a secret
            asked.set_exception(HostError(error.reason, host.vault.hide(error.message)))
        except BaseException as error:
            asked.set_exception(error)
            raise
    with workers.waiting():  # for another thread, if it is not ours
        return first.result()


def _answer(host: LiveHost, arguments: dict[str, Json]) -> Json:
    path, kubeconfig = cast("str", arguments["path"]), cast("str", arguments["kubeconfig"])
    if "secrets" in path.partition("?")[0].split("/"):
        raise HostError("NotPermitted", f"{path} holds Secrets, which are never asked for")
    # Secrets stay inside: the text is the file's own and not what `read` shows.
    text = host.files.read(kubeconfig)
    with ExitStack() as memory:
        document = _resolved(host, _minimal(text, kubeconfig), kubeconfig, memory)
        what = f"GET {path} by {kubeconfig}"
        body = host.bounded(
            lambda: _get(document, path, kubeconfig, host.probe_limit), what, limit=host.probe_limit + SLACK
        )
    try:
        return _hidden(host, cast("Json", body))
    except RecursionError:
        raise HostError(
            "Unreadable", f"{path} by {kubeconfig} was answered by JSON that is nested too deeply"
        ) from None


def _minimal(text: str, path: str) -> dict[str, Any]:
    """The kubeconfig with its current context alone. Raises Unreadable for what cannot be used, or must not be."""
    import yaml

    try:
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 -- a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, *MISFITS):
        raise HostError("Unreadable", f"{path} is not YAML") from None
    if not isinstance(document, dict):
        raise HostError("Unreadable", f"{path} is no kubeconfig")
    current = document.get("current-context")
    context = _named(document, "contexts", "context", current, path)
    cluster = dict(_named(document, "clusters", "cluster", context.get("cluster"), path))
    user = dict(_named(document, "users", "user", context.get("user"), path)) if context.get("user") else {}
    for key in ("exec", "auth-provider"):
        if user.get(key):
            raise HostError(
                "Unreadable",
                f"{path} gets its credentials by {key}, a program that we do not run; name another by --kubeconfig",
            )
    if not isinstance(cluster.get("server"), str):
        raise HostError("Unreadable", f"{path} names no server")
    secret = any(user.get(key) for key in ("token", "tokenFile", "password"))
    if secret and (cluster.get("insecure-skip-tls-verify") or not cluster["server"].startswith("https://")):
        raise HostError(
            "Unreadable", f"{path} does not verify its server, which is then not sent the token that it holds"
        )
    return {"cluster": cluster, "user": user}


def _named(document: dict[str, Any], listed: str, key: str, name: object, path: str) -> dict[str, Any]:
    entries = document.get(listed)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(key), dict):
            return cast("dict[str, Any]", entry[key])
    raise HostError("Unreadable", f"{path} has no {key} named {name!r}")


def _resolved(host: LiveHost, parts: dict[str, Any], path: str, memory: ExitStack) -> dict[str, Any]:
    """Cluster and user with paths that lead below the root, inline data in memory files, and an address as the server."""
    cluster, user = parts["cluster"], parts["user"]
    for section, names in ((cluster, _CLUSTER_FILES), (user, _USER_FILES)):
        for name in names:
            inline, named = section.pop(f"{name}-data", None), section.pop(name, None)
            if inline:  # client-go: data overrides the path
                section[name] = _memory_file(inline, f"{name}-data of {path}", memory)
            elif named:
                text = host.files.read(_beside(path, str(named)))  # raises what keeps us from it
                section[name] = _memory_file(base64.b64encode(text.encode()), str(named), memory)
    if user.get("tokenFile"):
        user["token"] = host.files.read(_beside(path, str(user.pop("tokenFile")))).strip()
    if host.root:
        _resolve_server(host, cluster)
    return {"cluster": cluster, "user": user}


def _beside(kubeconfig: str, path: str) -> str:
    """A path of a kubeconfig is relative to the kubeconfig's own folder."""
    return path if path.startswith("/") else f"{kubeconfig.rpartition('/')[0]}/{path}"


def _memory_file(data: str | bytes, what: str, memory: ExitStack) -> str:
    try:
        content = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError, TypeError):
        raise HostError("Unreadable", f"the {what} is not base64") from None
    descriptor = os.memfd_create("kubeconfig", os.MFD_CLOEXEC)
    memory.callback(os.close, descriptor)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


def _resolve_server(host: LiveHost, cluster: dict[str, Any]) -> None:
    """Another root has a resolver of its own (its hosts file), so the name is resolved there and kept for the certificate."""
    try:
        parts = urlsplit(cluster["server"])
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return  # the client says so
    name = parts.hostname or ""
    if not name or name.replace(".", "").isdigit() or ":" in name:
        return
    found = cast("ResolveAnswer", host.ask("resolve", {"name": name}))
    if not found["addresses"]:
        raise HostError("Unreadable", f"{name} was not resolved: {found['error'] or 'the resolver knows no address'}")
    address = found["addresses"][0]
    cluster["server"] = f"{parts.scheme}://{f'[{address}]' if ':' in address else address}:{port}{parts.path}"
    cluster.setdefault("tls-server-name", name)


def _get(document: dict[str, Any], path: str, kubeconfig: str, limit: float) -> Json:
    deadline = time.monotonic() + limit
    import urllib3

    cluster, user = document["cluster"], document["user"]
    try:
        configuration, client = _client(cluster, user)
    except (ValueError, TypeError, OSError, urllib3.exceptions.HTTPError) as error:
        raise HostError("Unreadable", f"{kubeconfig} cannot be used: {_words(error)}") from None
    headers = {"Accept": "application/json", "User-Agent": "k8sdoctor", **_authorization(user)}
    # The client's own pool, with its trust and credentials, but no retries: a fault is what we are looking for.
    pool = client.pool_manager
    try:
        with workers.waiting():
            reply = pool.request(
                "GET",
                configuration.host + path,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=max(deadline - time.monotonic(), 0.1)),
            )
        try:
            return _body(reply, path, configuration.host, deadline)
        finally:
            reply.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise HostError(
            "Unreadable", f"the API server at {configuration.host} ({kubeconfig}) did not answer: {_words(error)}"
        ) from None
    finally:
        pool.clear()


def _client(cluster: dict[str, Any], user: dict[str, Any]) -> tuple[Any, Any]:
    """The client's configuration, and the part of it that sends requests. The rest of it, 0.2 s of CPU, is not needed to GET."""
    packages = ("kubernetes", "kubernetes.client", "kubernetes.utils")
    configuration = light.module("kubernetes.client.configuration", *packages).Configuration()
    configuration.host = cluster["server"].rstrip("/")
    configuration.verify_ssl = not cluster.get("insecure-skip-tls-verify")
    configuration.ssl_ca_cert = cluster.get("certificate-authority")
    configuration.tls_server_name = cluster.get("tls-server-name")
    configuration.cert_file, configuration.key_file = user.get("client-certificate"), user.get("client-key")
    # The shell's proxy is not the node's, and a kubeconfig may name its own.
    configuration.proxy, configuration.no_proxy = cluster.get("proxy-url"), None
    return configuration, light.module("kubernetes.client.rest", *packages).RESTClientObject(configuration)


def _authorization(user: dict[str, Any]) -> dict[str, str]:
    if user.get("token"):  # client-go: a token goes before a password
        return {"Authorization": f"Bearer {user['token']}"}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _body(reply: Any, path: str, server: str, deadline: float) -> Json:
    data = b""
    for chunk in reply.stream(65536):
        data += chunk
        if len(data) > ANSWER_LIMIT:
            raise HostError("Unreadable", f"{server}{path} answered more than {ANSWER_LIMIT // 1024 // 1024} MiB")
        if time.monotonic() > deadline:
            raise HostError("Unreadable", f"{server}{path} drips: its answer was not complete in time")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    said = document.get("message") if isinstance(document, dict) else None
    words = str(said or data[:200].decode("utf-8", "replace"))
    match reply.status:
        case 200 if isinstance(document, dict):
            return cast("Json", document)
        case 401 | 403:
            raise HostError("NotPermitted", f"{server}{path} answered {reply.status}: {words}")
        case 404:
            raise HostError("NotFound", f"{server}{path} answered 404: {words}")
        case _:
            raise HostError("Unreadable", f"{server}{path} answered {reply.status} and no JSON object: {words}")


def _words(error: BaseException) -> str:
    """The innermost cause, for urllib3 wraps an error several times."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, BaseException):
            return " ".join(str(error).split()) or type(error).__name__
        error = inner


def _hidden(host: LiveHost, value: Json) -> Json:
    """The value without secrets, and without what only tells again what the object says."""
    return host.vault.hide_in(_without_copies(value))


def _without_copies(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_copies(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_copies(item) for key, item in value.items() if key not in ("managedFields", _CLIENT_COPY)}
    return value
