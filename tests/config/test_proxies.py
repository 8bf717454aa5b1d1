"""Proxies from the environment, as curl has them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.config.test_config import with_env


@pytest.mark.parametrize(
    ("env", "endpoint", "proxy"),
    [
        ({"https_proxy": "http://p:3128"}, "https://collector", "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, "https://collector", "http://p:3128"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "https://collector", "http://low:1"),
        ({"http_proxy": "http://p:3128"}, "https://collector", None),
        ({"http_proxy": "http://p:3128"}, "http://collector", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128", "REQUEST_METHOD": "GET"}, "http://collector", None),
        ({"http_proxy": "http://p:3128"}, "http://localhost:4318", None),
        ({"http_proxy": "http://p:3128", "no_proxy": "collector"}, "http://collector", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "a, .example.org"}, "http://x.example.org", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "example.org"}, "http://x.example.org", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "example.org"}, "http://badexample.org", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "*"}, "http://collector", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "collector:4318"}, "http://collector:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "collector:4318"}, "http://collector:9", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "collector:80"}, "http://collector", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "*.example.org"}, "http://example.org", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "Example.ORG."}, "http://x.EXAMPLE.org.", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "a b\tcollector"}, "http://collector", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": ",,  ,."}, "http://collector", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.0.0.0/8,.svc"}, "http://10.1.2.3:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.0.0.0/8,.svc"}, "http://11.1.2.3:4318", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.1.2.99/24"}, "http://10.1.2.3", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.1.2.3"}, "http://10.1.2.3:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.1.2.3:4318"}, "http://10.1.2.3:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.1.2.3:4318"}, "http://10.1.2.3:9", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.1.2"}, "http://10.1.2.3", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.0.0.0/33,10.0.0.0/x"}, "http://10.1.2.3", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "0.0.0.0/0"}, "http://10.1.2.3", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "0.0.0.0/0"}, "http://collector", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "fd00::/8"}, "http://[fd00::7]:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "fd00::/8"}, "http://[fe80::7]:4318", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "[fd00::7]"}, "http://[fd00:0::7]:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "[fd00::7]:4318"}, "http://[fd00::7]:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "[fd00::7]:9"}, "http://[fd00::7]:4318", "http://p:3128"),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "fe80::/10"}, "http://[fe80::7%25eth0]:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, "http://[::ffff:10.1.2.3]:4318", None),
        ({"http_proxy": "http://p:3128", "NO_PROXY": "10.0.0.0/8"}, "http://[::a01:203]:4318", "http://p:3128"),
    ],
)
def test_proxies(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], endpoint: str, proxy: str | None) -> None:
    assert with_env(monkeypatch, env, endpoint=endpoint).proxy == proxy
