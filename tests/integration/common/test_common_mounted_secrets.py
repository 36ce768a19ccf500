"""Secrets as a cluster mounts them: files of another user, a database's URL with a password in it."""

import os
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.errors import InvalidError
from onecode_common.keys import load_key, load_or_create_key, public_bytes
from onecode_common.settings import RecordSettings


class Settings(RecordSettings):
    model_config = SettingsConfigDict(env_prefix="ONECODE_TRIAL_", frozen=True, extra="forbid")
    service: ClassVar[str] = "trial"
    database_url: str = Field(default="sqlite:///trial.db")


def test_the_url_comes_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql+psycopg://me:secret@db/trial\n")
    monkeypatch.setenv("ONECODE_TRIAL_DATABASE_URL_FILE", str(file))
    assert Settings.load().database_url == "postgresql+psycopg://me:secret@db/trial"


def test_without_a_file_the_setting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().database_url == "sqlite:///trial.db"
    monkeypatch.setenv("ONECODE_TRIAL_DATABASE_URL", "sqlite:///other.db")
    assert Settings.load().database_url == "sqlite:///other.db"


def test_both_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///a.db")
    monkeypatch.setenv("ONECODE_TRIAL_DATABASE_URL", "sqlite:///b.db")
    monkeypatch.setenv("ONECODE_TRIAL_DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(InvalidError, match="not both"):
        Settings.load()


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONECODE_TRIAL_DATABASE_URL_FILE", str(tmp_path / "nothing"))
    with pytest.raises(InvalidError, match="nothing"):
        Settings.load()


def test_the_group_may_not_read_a_key_of_our_own(tmp_path: Path) -> None:
    key = tmp_path / "key"
    load_or_create_key(key)
    key.chmod(0o640)
    with pytest.raises(InvalidError, match="may be read by others"):
        load_key(key)


@pytest.mark.parametrize("mode", [0o440, 0o400])
def test_the_group_may_read_a_key_of_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "key"
    public = public_bytes(load_or_create_key(key))
    key.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + 1)
    assert public_bytes(load_key(key)) == public


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o404])
def test_nobody_else_may_and_the_group_may_not_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    key = tmp_path / "key"
    load_or_create_key(key)
    key.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + 1)
    with pytest.raises(InvalidError, match="may be read by others"):
        load_key(key)
