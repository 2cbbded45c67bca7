"""How a runtime answers a registry that wants to know who asks: tokens, users and passwords.

Written by distribution/distribution `docs/content/spec/auth/token.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from k8sdoctor.facts import manifest, urls
from k8sdoctor.facts.registry_exchange import EndError, Exchange, Got
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.registry_chain import Credentials
    from k8sdoctor.facts.registry_conversation import Conversation


def log_in(talk: Conversation, got: Got) -> None:
    """Do what a 401's challenge asks for: fetch a token, or name user and password. Raises EndError where that fails."""
    # CRI-O sends its token to the registry that it asked, the others to whoever wanted one.
    netloc = urlsplit(talk.registry.base_url if talk.runtime == "cri-o" else got.exchange.url).netloc
    wanted = challenges(got.answer["headers"].get("www-authenticate", ""))
    credentials = talk.registry.credentials
    if "bearer" in wanted:
        talk.authorization[netloc] = f"Bearer {_token(talk, got.exchange, wanted['bearer'])}"
    elif "basic" in wanted and credentials and credentials.auth:
        talk.authorization[netloc] = f"Basic {credentials.auth}"
        talk.login = True
    elif "basic" in wanted and credentials and credentials.password:
        talk.users[netloc] = _user(credentials)
        talk.login = True
    else:
        raise EndError("auth-required", got.exchange, manifest.words(got.answer["body"]))


def _user(credentials: Credentials) -> str:
    """User and password for a URL, since a password is a placeholder here that only the host can put into a header."""
    return f"{quote(credentials.username or '', safe='')}:{credentials.password}@"


def _token(talk: Conversation, exchange: Exchange, challenge: Mapping[str, str]) -> str:
    """A token by GET; containerd first tries a POST where it has credentials, and then this."""
    credentials = talk.registry.credentials
    if credentials and credentials.identity_token:
        message = (
            f"logging in with an identity token ({credentials.source}) takes a POST, which the doctor does not send"
        )
        raise HostError("Unreadable", message)
    realm = urls.joined(exchange.url, challenge.get("realm", ""))
    if realm is None:
        raise EndError("error", exchange, f"names {challenge['realm']} as where to log in, which is no URL of HTTP")
    scopes = dict.fromkeys([f"repository:{talk.registry.repository}:pull", *challenge.get("scope", "").split()])
    parts = urlsplit(realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += [("service", challenge["service"])] if challenge.get("service") else []
    query += [("scope", scope) for scope in scopes]
    headers = {}
    netloc = parts.netloc
    if credentials and credentials.auth:
        headers["Authorization"] = f"Basic {credentials.auth}"
        talk.login = True
    elif credentials and credentials.password:
        netloc = _user(credentials) + netloc
        talk.login = True
    got = talk.send("GET", urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), "")), headers)
    status = got.answer["status"]
    document = manifest.parse(got.answer["body"])
    if status in (401, 403):
        raise EndError("auth-required", got.exchange)
    if status // 100 != 2:  # noqa: PLR2004 -- success
        raise EndError("error", got.exchange)
    token = (document or {}).get("token") or (document or {}).get("access_token")
    if not isinstance(token, str):
        raise EndError("no-registry", got.exchange, manifest.words(got.answer["body"]))
    return token


def challenges(text: str) -> dict[str, dict[str, str]]:
    """The challenges of WWW-Authenticate by scheme; each line holds one, as Go's parser in containerd expects.

    >>> challenges('Bearer realm="https://auth.example/token",service="r, s"')
    {'bearer': {'realm': 'https://auth.example/token', 'service': 'r, s'}}
    """
    from urllib.request import parse_http_list, parse_keqv_list  # 25 ms of CPU, and seldom needed

    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        scheme, _, rest = line.strip().partition(" ")
        pairs = [pair for pair in parse_http_list(rest) if "=" in pair]
        found.setdefault(
            scheme.lower(), {name.strip().lower(): value for name, value in parse_keqv_list(pairs).items()}
        )
    return found
