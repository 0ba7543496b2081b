from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from versasound_core.config import LoggingConfig
from versasound_core.errors import InvalidInputError
from versasound_core.log import configure_logging, get_logger


@pytest.fixture(autouse=True)
def put_back():
    """Leave the logger as it was found."""
    logger = logging.getLogger("versasound")
    level, handlers = logger.level, list(logger.handlers)
    yield
    for handler in set(logger.handlers) - set(handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(level)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("name", "logger"),
    [
        ("versasound", "versasound"),
        ("versasound.media", "versasound.media"),
        ("versasound_core", "versasound"),
        ("versasound_core.media.video", "versasound.media.video"),
        ("versasound_plugin_foley.generator", "versasound.versasound_plugin_foley.generator"),
        ("__main__", "versasound.__main__"),
    ],
)
def test_every_logger_is_below_one(name, logger):
    assert get_logger(name).name == logger


def test_silent_unless_asked():
    done = run("from versasound_core.log import get_logger; get_logger('versasound_core.x').error('heard')")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_program_with_its_own_logging_hears_us():
    done = run(
        "import logging; logging.basicConfig(format='%(name)s|%(message)s')\n"
        "from versasound_core.log import get_logger; get_logger('mine').warning('heard')"
    )
    assert done.stderr == "versasound.mine|heard\n"


def test_asked_twice_it_speaks_once(capsys):
    configure_logging(LoggingConfig())
    configure_logging(LoggingConfig())
    get_logger("mine").info("only once")
    get_logger("mine").debug("below the level")
    err = capsys.readouterr().err
    assert err.count("only once") == 1
    assert "INFO" in err
    assert "versasound.mine" in err
    assert "below" not in err


def test_the_root_logger_is_left_alone():
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    configure_logging(LoggingConfig("DEBUG"))
    assert (root.level, list(root.handlers)) == before


def test_to_a_file_in_utf8_and_off_again(tmp_path):
    path = tmp_path / "журнал.log"
    path.write_text("earlier\n", encoding="utf-8")
    configure_logging(LoggingConfig("DEBUG", True, str(path)))
    get_logger("mine").debug("шаги по гравию 足音")
    configure_logging(LoggingConfig())
    get_logger("mine").error("after it was switched off")
    earlier, line = path.read_text(encoding="utf-8").splitlines()
    assert earlier == "earlier"
    assert line.endswith("versasound.mine: шаги по гравию 足音")


def test_a_file_that_cannot_be_written_changes_nothing(tmp_path):
    configure_logging(LoggingConfig("ERROR"))
    logger = logging.getLogger("versasound")
    before = (logger.level, list(logger.handlers))
    with pytest.raises(InvalidInputError, match=r"log_file='.*nowhere.*No such file.*Name another file"):
        configure_logging(LoggingConfig("DEBUG", True, str(tmp_path / "nowhere" / "a.log")))
    assert (logger.level, list(logger.handlers)) == before


def test_importing_loads_nothing_heavy():
    done = run("import sys, versasound_core.log; print({'torch', 'numpy', 'av', 'attrs'} & set(sys.modules))")
    assert done.stdout == "set()\n"
