from __future__ import annotations

import pytest

from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.host.secrets import Vault


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://registry.k8s.io/v2/", False),
        ("*", "https://registry.k8s.io/v2/", True),
        ("registry.k8s.io", "https://registry.k8s.io/v2/", True),
        ("k8s.io", "https://registry.k8s.io/v2/", True),
        (".k8s.io", "https://registry.k8s.io/v2/", True),
        (".k8s.io", "https://k8s.io/v2/", False),
        ("*.k8s.io", "https://registry.k8s.io/v2/", True),
        ("s.io", "https://registry.k8s.io/v2/", False),
        ("registry.k8s.io:443", "https://registry.k8s.io/v2/", True),
        ("registry.k8s.io:80", "https://registry.k8s.io/v2/", False),
        ("10.0.0.0/8", "https://10.1.2.3:5000/v2/", True),
        ("10.0.0.0/8", "https://11.1.2.3:5000/v2/", False),
        ("10.1.2.3", "https://10.1.2.3:5000/v2/", True),
        ("10.1.2.3:5000", "https://10.1.2.3:5000/v2/", True),
        ("2001:db8::1", "https://[2001:db8::1]:5000/v2/", True),
        ("[2001:db8::1]:5000", "https://[2001:db8::1]:5000/v2/", True),
        (" a , REGISTRY.K8S.IO ", "https://registry.k8s.io/v2/", True),
        ("", "https://localhost:5000/v2/", True),
        ("", "https://127.0.0.5:5000/v2/", True),
        ("", "https://[::1]:5000/v2/", True),
    ],
)
def test_who_is_asked_without_the_proxy(no_proxy: str, url: str, *, direct: bool) -> None:
    proxy = ProxyEnvironment(https="http://p:3128", no_proxy=no_proxy)

    assert (proxy.proxy_for(url) is None) is direct


def test_http_and_https_have_a_proxy_each() -> None:
    proxy = ProxyEnvironment(http="p:1")

    assert proxy.proxy_for("http://m/v2/") == "http://p:1"
    assert proxy.proxy_for("https://m/v2/") is None


def test_upper_case_counts_before_lower_case() -> None:
    assert ProxyEnvironment.of({"https_proxy": "low", "HTTPS_PROXY": "up"}, "x").https == "up"
    assert ProxyEnvironment.of({"https_proxy": "low"}, "x").https == "low"


def test_a_secret_in_an_environment_hides_no_other_variable() -> None:
    hidden = Vault().hide("K3S_TOKEN=verysecret\0HTTPS_PROXY=http://u:pw@p:3128\0")

    assert hidden == "K3S_TOKEN=REDACTED-1\0HTTPS_PROXY=http://u:REDACTED-2@p:3128\0"
