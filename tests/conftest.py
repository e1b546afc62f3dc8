"""What the tests share: servers, a browser, and an environment without anybody's key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.demo import Demo, running_demo

if TYPE_CHECKING:
    import trustme

    from tests.support.asker import Asker

settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


@pytest.fixture(scope="session", autouse=True)
def _no_limits_of_others(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def demo_server() -> Iterator[Demo]:
    with running_demo(2000) as demo:
        yield demo


@pytest.fixture
def demo(demo_server: Demo, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """A fast demo server, and the environment that leads there."""
    monkeypatch.setenv("GROQ_BASE_URL", demo_server.base_url)
    return demo_server


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.delenv("GROQ_BASE_URL", raising=False)


@pytest.fixture
def ask() -> Iterator[Asker]:
    """Asks through clients of its own, of which nothing may be left at the test's end."""
    from tests.support.asker import Asker

    asker = Asker()
    yield asker
    asker.close()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A private certificate authority that the environment names."""
    import trustme

    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """A demo server as fast as the module says."""
    with running_demo(request.module.TOKENS_PER_SECOND) as demo:
        yield demo
