"""Settings: four sources, one rule for names, and errors that tell their reader what to do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale import config
from genescale.config import BadSetting, describe, load, reference_page
from genescale.sensitive import Sensitive

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def refused(environment: dict[str, str], **kwargs: object) -> BadSetting:
    with pytest.raises(BadSetting) as caught:
        load(environment, **kwargs)
    return caught.value


# ---- what is wrong is said ----


def test_an_unknown_variable_is_named_with_its_neighbour(home: dict[str, str]) -> None:
    error = refused(home | {"GENESCALE_GATEWAY_PROT": "1"})
    assert error.source == "GENESCALE_GATEWAY_PROT"
    assert "did you mean GENESCALE_GATEWAY_PORT?" in str(error)


@pytest.mark.parametrize("variable", sorted(config.OTHER_VARIABLES - {config.SETTINGS_FILE_VARIABLE}))
def test_switches_of_the_build_and_the_tests_are_left_alone(home: dict[str, str], variable: str) -> None:
    assert load(home | {variable: "1"}).sources == {}


def test_an_unknown_name_in_the_file_is_named_with_its_line(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[log]\nkind = "sqlite"\n\n[gateway]\n# the door\nprot = 1\n')
    assert str(refused(home, file=file)) == (
        f"{file}:6: there is no setting 'gateway.prot' (did you mean gateway.port?); "
        "`genescale settings` lists them all"
    )


def test_an_unknown_group_is_named_with_its_line(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[loop]\nattempts_max = 3\n[gatway]\nport = 1\n")
    message = str(refused(home, file=file))
    assert message.startswith(f"{file}:3: there is no group of settings 'gatway' (did you mean gateway?)")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gateway.port = -1", 1),
        ("\n[gateway]\nport = -1", 3),
        ("\n\ngateway = { port = -1 }", 3),
        ("[gateway]\n'port'=-1", 2),
    ],
)
def test_the_line_is_found_in_every_way_to_write_it(home: dict[str, str], tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    assert refused(home, file=file).source == f"{file}:{line}"


@pytest.mark.parametrize("value", ["http", "", "8080.5", "-1", "70000", "0x50", "nan"])
def test_a_bad_number_names_setting_source_value_and_what_is_right(home: dict[str, str], value: str) -> None:
    message = str(refused(home | {"GENESCALE_GATEWAY_PORT": value}))
    assert message.startswith(f"GENESCALE_GATEWAY_PORT: gateway.port = {value!r}: expected ")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "2", "high"])
def test_a_share_is_between_nought_and_one(home: dict[str, str], value: str) -> None:
    assert refused(home | {"GENESCALE_TRACING_RATIO": value}).name == "tracing.ratio"


def test_a_bad_choice_lists_the_choices(home: dict[str, str]) -> None:
    message = str(refused(home | {"GENESCALE_LOG_KIND": "sqlight"}))
    assert "expected one of sqlite, kafka, memory (did you mean sqlite?)" in message


@pytest.mark.parametrize(
    "text", ["[gateway]\nport = true", "[gateway]\nport = 80.5", "[gateway]\nport = []", "gateway = 3"]
)
def test_a_wrong_type_in_the_file_is_refused(home: dict[str, str], tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    assert refused(home, file=file).name.startswith("gateway")


def test_a_file_that_is_named_must_exist(home: dict[str, str], tmp_path: Path) -> None:
    assert "there is no settings file" in str(refused(home, file=tmp_path / "none.toml"))
    assert "GENESCALE_SETTINGS: there is no" in str(refused(home | {"GENESCALE_SETTINGS": str(tmp_path / "none.toml")}))


def test_a_file_that_is_not_toml_says_where(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[log\n")
    assert "line 1" in str(refused(home, file=file))


def test_an_unknown_override_is_refused(home: dict[str, str]) -> None:
    assert "command line: there is no setting 'gateway.sport'" in str(refused(home, overrides={"gateway.sport": 1}))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"log.session_timeout_s": 2, "log.heartbeat_s": 1}, "log.heartbeat_s"),
        ({"kafka.replication_factor": 1}, "kafka.min_insync_replicas"),
        ({"loop.backoff_cap_s": 0.1}, "loop.backoff_base_s"),
        ({"supervisor.restart_backoff_cap_s": 0.1}, "supervisor.restart_backoff_base_s"),
        ({"supervisor.stop_grace_s": 5}, "loop.drain_deadline_s"),
        ({"kafka.security_protocol": "sasl_ssl"}, "kafka.sasl_username"),
        ({"kafka.security_protocol": "sasl_ssl", "kafka.sasl_username": "u"}, "kafka.sasl_password"),
    ],
)
def test_values_that_do_not_go_together_are_refused(home: dict[str, str], values: dict[str, object], name: str) -> None:
    assert refused(home, overrides=values).name == name


# ---- later wins ----


def test_the_defaults_hold_when_nobody_speaks(home: dict[str, str]) -> None:
    settings, sources, file = load(home)
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8080)
    assert settings.data.directory == Path(home["HOME"]) / ".local/share/genescale"
    assert (sources, file) == ({}, None)


def test_later_sources_win_and_are_remembered(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[loop]\nattempts_max = 2\nbatch_records_max = 2\ncrashes_max = 2\nbackoff_cap_s = 2\n")
    environment = home | {"GENESCALE_LOOP_BATCH_RECORDS_MAX": "3", "GENESCALE_LOOP_CRASHES_MAX": "3"}
    settings, sources, read = load(environment, file, {"loop.crashes_max": 4, "gateway.port": None})
    loop = settings.loop
    assert (loop.attempts_max, loop.batch_records_max, loop.crashes_max, loop.backoff_cap_s) == (2, 3, 4, 2.0)
    assert sources == {
        "loop.attempts_max": f"{file}:2",
        "loop.batch_records_max": "GENESCALE_LOOP_BATCH_RECORDS_MAX",
        "loop.crashes_max": "command line",
        "loop.backoff_cap_s": f"{file}:5",
    }
    assert read == file


def test_the_file_in_the_data_directory_is_found_before_the_personal_one(home: dict[str, str], tmp_path: Path) -> None:
    data, personal = tmp_path / "data", tmp_path / ".config" / "genescale"
    for directory, port in ((data, 1111), (personal, 2222)):
        directory.mkdir(parents=True)
        (directory / "genescale.toml").write_text(f"[gateway]\nport = {port}\n")
    assert load(home).settings.gateway.port == 2222
    assert load(home, overrides={"data.directory": data}).settings.gateway.port == 1111
    assert load(home | {"GENESCALE_DATA_DIRECTORY": str(data)}).settings.gateway.port == 1111


def test_a_found_file_cannot_move_the_data_directory_but_a_named_one_can(home: dict[str, str], tmp_path: Path) -> None:
    found = tmp_path / ".config" / "genescale" / "genescale.toml"
    found.parent.mkdir(parents=True)
    found.write_text(f'[data]\ndirectory = "{tmp_path}/else"\n')
    assert "name the file with --settings" in str(refused(home))
    assert load(home, found).settings.data.directory == tmp_path / "else"


def test_a_relative_xdg_directory_is_ignored_as_its_specification_says(home: dict[str, str]) -> None:
    assert load(home | {"XDG_DATA_HOME": "data"}).settings == load(home).settings
    assert load(home | {"XDG_DATA_HOME": "/data"}).settings.data.directory == Path("/data/genescale")


# ---- secrets ----


def test_a_secret_is_refused_where_other_processes_can_read_it(home: dict[str, str]) -> None:
    for error in (
        refused(home | {"GENESCALE_KAFKA_SASL_PASSWORD": "hunter2"}),
        refused(home, overrides={"kafka.sasl_password": "hunter2"}),
    ):
        assert "GENESCALE_KAFKA_SASL_PASSWORD_FILE" in str(error)
        assert "hunter2" not in str(error)


def test_a_secret_comes_from_a_file_of_its_own(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    loaded = load(home | {"GENESCALE_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "pw")})
    assert loaded.settings.kafka.sasl_password.reveal() == "hunter2"
    assert loaded.sources == {"kafka.sasl_password": "GENESCALE_KAFKA_SASL_PASSWORD_FILE"}
    assert "hunter2" not in repr(loaded) + repr(describe(loaded))


def test_a_secret_file_of_a_later_source_replaces_the_secret_in_the_settings_file(
    home: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "pw").write_text("new")
    file = tmp_path / "s.toml"
    file.write_text('[kafka]\nsasl_password = "old"\n')
    assert load(home, file).settings.kafka.sasl_password.reveal() == "old"
    later = load(home | {"GENESCALE_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "pw")}, file)
    assert later.settings.kafka.sasl_password.reveal() == "new"
    file.write_text(f'[kafka]\nsasl_password = "old"\nsasl_password_file = "{tmp_path}/pw"\n')
    assert "are both set" in str(refused(home, file=file))


def test_a_secret_file_that_cannot_be_read_is_named(home: dict[str, str], tmp_path: Path) -> None:
    message = str(refused(home | {"GENESCALE_STORE_TABLES_PASSWORD_FILE": str(tmp_path / "gone")}))
    assert "store.tables_password_file" in message
    assert "No such file" in message


def test_a_secret_of_the_wrong_type_is_refused_and_not_shown(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[kafka]\nsasl_password = 12345\n")
    assert "12345" not in str(refused(home, file=file))


def test_a_program_may_hand_over_a_sealed_secret(home: dict[str, str]) -> None:
    loaded = load(home, overrides={"kafka.sasl_password": Sensitive("hunter2")})
    assert loaded.settings.kafka.sasl_password.reveal() == "hunter2"


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@h/db", "u:hunter2@h/db", "postgresql://h/db?password=hunter2"])
def test_a_password_in_a_url_is_refused_and_not_shown(home: dict[str, str], url: str) -> None:
    message = str(refused(home | {"GENESCALE_STORE_TABLES_URL": url}))
    assert "GENESCALE_STORE_TABLES_PASSWORD_FILE" in message
    assert "hunter2" not in message


def test_a_url_needs_a_scheme_that_we_know(home: dict[str, str]) -> None:
    assert "postgresql://" in str(refused(home | {"GENESCALE_STORE_TABLES_URL": "mysql://h/db"}))
    assert load(home | {"GENESCALE_STORE_TABLES_URL": "postgresql://u@h:5432/db"}).sources


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.sampled_from([f.variable for f in describe()])
)
def test_no_text_in_the_environment_gives_anything_but_settings_or_bad_setting(value: str, variable: str) -> None:
    try:
        source = load({"HOME": "/nonexistent", variable: value}).sources.popitem()[1]
    except BadSetting as error:
        source = str(error)
    assert variable in source


# ---- the page ----


def test_every_field_says_what_it_means_and_why_its_default_is_good() -> None:
    for field in describe():
        assert len(field.meaning) > 10, field.name
        assert len(field.why) > 10, field.name
        assert field.unit or field.type not in {"number", "whole number"}, f"{field.name} has no unit"


def test_every_number_has_bounds() -> None:
    for spec in config._specs().values():
        if spec.kind in (int, float):
            assert spec.says.low is not None, spec.name
            assert spec.says.high is not None, spec.name


def test_the_defaults_are_inside_their_own_bounds(home: dict[str, str]) -> None:
    for field in describe():
        if not field.sensitive and field.default and field.name != "data.directory":
            load(home | {field.variable: field.default})


def test_every_group_is_a_table_of_the_settings() -> None:
    assert tuple(config.GROUPS) == config.Settings.__struct_fields__


def test_the_page_is_the_one_that_the_code_writes() -> None:
    assert PAGE.read_text() == reference_page(), "run: python -m genescale.config > docs/reference/settings.md"
