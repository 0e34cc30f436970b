"""Provider configuration: what a file may say, where keys come from and never go, which addresses are refused."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from agents.models.protocol import Model
from agents.models.providers import Provider, is_private, open_providers, read_providers
from router.errors import DataError

KEY = "sk-not-to-be-seen"
KEYS = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
OLLAMA = """
[[providers]]
name = "local"
kind = "openai"
base_url = "http://127.0.0.1:11434/v1"
silence_timeout_s = 120

[[providers]]
name = "anthropic"
kind = "anthropic"
base_url = "https://gateway.example.org"
key_env = "GATEWAY_KEY"

[[providers]]
name = "pretend"
kind = "simulated"
"""


def opened(names: Collection[str], environ: Mapping[str, str], file: Path | None = None) -> dict[str, str]:
    """What is opened, as it shows itself, in order; closed at once."""

    async def shown() -> dict[str, str]:
        models = open_providers(names, environ=environ, simulated=False, file=file)
        await asyncio.gather(*(model.close() for model in models.values()))
        return {name: repr(model) for name, model in models.items()}

    return asyncio.run(shown())


def refused(names: Collection[str], environ: Mapping[str, str], file: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        open_providers(names, environ=environ, simulated=False, file=file)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "providers.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_two_built_in_providers_open_in_the_order_asked_with_a_key_each() -> None:
    assert opened(["openai", "anthropic"], KEYS) == {
        "openai": "OpenAIModel('openai', base_url='https://api.openai.com/v1')",
        "anthropic": "AnthropicModel('anthropic', base_url='https://api.anthropic.com')",
    }


def test_the_environment_may_move_a_built_in_provider() -> None:
    environ = {**KEYS, "OPENAI_BASE_URL": "https://eu.example.org/v1"}
    assert opened(["openai"], environ) == {"openai": "OpenAIModel('openai', base_url='https://eu.example.org/v1')"}


def test_a_missing_key_names_its_variable_and_the_way_without() -> None:
    said = refused(["openai", "anthropic"], {"OPENAI_API_KEY": " "})
    assert said.startswith("ANTHROPIC_API_KEY, OPENAI_API_KEY are not set")
    assert "--simulated" in said


def test_a_provider_that_nobody_asked_for_needs_no_key() -> None:
    assert list(opened(["openai"], {"OPENAI_API_KEY": KEY})) == ["openai"]


def test_simulated_needs_neither_keys_nor_file_and_says_what_it_is() -> None:
    models = open_providers(["openai", "mine"], environ={}, simulated=True, file=Path("missing.toml"))
    assert {name: (model.provider, model.simulated) for name, model in models.items()} == {
        "openai": ("openai", True),
        "mine": ("mine", True),
    }


def test_a_file_adds_providers_and_replaces_them_by_name(tmp_path: Path) -> None:
    found = opened(["local", "anthropic", "pretend"], {"GATEWAY_KEY": KEY}, written(tmp_path, OLLAMA))
    assert found == {
        "local": "OpenAIModel('local', base_url='http://127.0.0.1:11434/v1')",
        "anthropic": "AnthropicModel('anthropic', base_url='https://gateway.example.org')",
        "pretend": "SimulatedModel('pretend', seed=0)",
    }


def test_an_unknown_provider_is_named_beside_the_known(tmp_path: Path) -> None:
    said = refused(["opnai"], KEYS, written(tmp_path, OLLAMA))
    assert said.startswith("no provider is called 'opnai'; known are openai, anthropic, local, pretend.")


def test_a_field_that_is_not_given_has_its_default(tmp_path: Path) -> None:
    assert read_providers(written(tmp_path, OLLAMA))[0] == Provider(
        name="local", kind="openai", base_url="http://127.0.0.1:11434/v1", silence_timeout_s=120
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "top level is []"),
        ("providers = 3", "top level"),
        ("[[provider]]\nname = 'a'", "top level is ['provider']"),
        ("[[providers]]\nname = 'a'", "[[providers]] 1: has ['name']"),
        ("[[providers]]\nname = 'a'\nkind = 'ollama'", "kind is 'ollama'"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\nurl = 'x'", "`url` = 'x'"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\nbase_url = ''", "`base_url` = ''"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\ncaches_prompts = 1", "`caches_prompts` = 1"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\nsilence_timeout_s = true", "`silence_timeout_s` = True"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\nsilence_timeout_s = 0", "[[providers]] 1: `silence_s` is 0"),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\napi_key = 'sk-not-to-be-seen'", "`api_key` = …"),
        (
            "[[providers]]\nname = 'a'\nkind = 'openai'\nkey_env = 'sk-not-to-be-seen'",
            "key_env is no name of a variable",
        ),
        ("[[providers]]\nname = 'a'\nkind = 'openai'\n" * 2, "a stands there twice"),
        ("[[providers", "cannot be read as TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_where(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(["a"], KEYS, written(tmp_path, text))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "http://8.8.8.8/v1",
        "http://134744072/v1",
        "http://0x8080808/v1",
        "http://169.254.169.254/latest",
        "http://0.0.0.0:8000/v1",
        "http://127.0.0.1.example.org/v1",
        "ftp://example.org",
        "https://",
        "api.openai.com/v1",
        "https://[::1",
        "https://example.org:port/v1",
        f"https://user:{KEY}@example.org/v1",
        f"https://example.org/v1?key={KEY}",
    ],
)
def test_an_address_that_would_show_a_key_is_refused(url: str) -> None:
    assert "base_url" in refused(["openai"], {**KEYS, "OPENAI_BASE_URL": url})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "localhost", "10.0.0.7", "192.168.1.2", "fd00::1", "ollama", "gpu.internal", "nas.local"],
)
def test_a_host_of_ones_own_may_be_spoken_to_openly(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("key", ["sk-…", "two words", "sk-\x00"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    said = refused(["openai"], {"OPENAI_API_KEY": key})
    assert said == "OPENAI_API_KEY holds characters that no key has; copy the key into it again."


def test_space_around_a_key_is_left_out() -> None:
    assert list(opened(["openai"], {"OPENAI_API_KEY": f"{KEY}\n"})) == ["openai"]


def test_what_is_opened_shows_no_key() -> None:
    async def shown() -> str:
        models: dict[str, Model] = open_providers(["openai", "anthropic"], environ=KEYS, simulated=False, file=None)
        await asyncio.gather(*(model.close() for model in models.values()))
        return repr(models) + "".join(repr(vars(model)) for model in models.values())

    assert KEY not in asyncio.run(shown())
