"""Exit codes and messages of the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import click
import pytest

import anyclip as package
from anyclip.cli.main import run
from anyclip.errors import ConfigError, Problem, UserError
from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.specs import CommandSpec


@click.command("speak")
@click.argument("what")
def speak(what: str):
    """Say something of a plugin."""
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "config":
        raise ConfigError(
            [Problem("a.yaml:3", "x", "is wrong."), Problem("a.yaml:4", "y", "too.")], next="anyclip check"
        )
    if what == "fault":
        raise ZeroDivisionError("a fault of the program")
    if what == "three":
        return 3
    raise UserError("no such file.", where="b.csv:2", hint="Did you mean b.tsv?", next="ls")


@pytest.fixture
def plugin_commands():
    """A plugin with a command that works and one whose module is not there."""
    specs = [
        CommandSpec(name="speak", target=f"{__name__}:speak", summary="Say something"),
        CommandSpec(name="lost", target="not_a_module:command", summary="Not there"),
    ]
    row = PluginRow("loud", "anyclip-loud", "1.0", parts=[Part(spec, "anyclip-loud", "1.0") for spec in specs])
    with use_registry(Registry([*get_registry().rows, row])):
        yield


def test_help_lists_commands_of_plugins_apart(anyclip, plugin_commands):
    done = anyclip("--help")
    assert done.code == 0
    assert "Commands of plugins:\n  lost   Not there [anyclip-loud]\n  speak  Say something [anyclip-loud]" in done.out
    assert re.search(r"\n  train +Train from a config; --resume goes on where it stopped\n", done.out)
    assert anyclip("-h").out == done.out


def test_a_command_of_a_plugin(anyclip, plugin_commands):
    assert "Say something of a plugin." in anyclip("speak", "--help").out
    assert anyclip("anyclip-loud:speak", "three").code == 3


def test_a_missing_module_costs_only_its_command(anyclip, plugin_commands):
    done = anyclip("lost")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: not_a_module:command of anyclip-loud 1.0 does not import: ModuleNotFoundError: "
        "No module named 'not_a_module'.\n  next: pip install --upgrade anyclip-loud\n"
    )


def test_user_errors_have_no_traceback(anyclip, plugin_commands):
    done = anyclip("speak", "x")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: b.csv:2: no such file. Did you mean b.tsv?\n  next: ls\n"
    done = anyclip("speak", "config")
    assert (done.code, done.err) == (2, "a.yaml:3: x: is wrong.\na.yaml:4: y: too.\n  next: anyclip check\n")


def test_debug_shows_the_traceback(plugin_commands):
    with pytest.raises(UserError):
        run(["--debug", "speak", "x"])


def test_faults_of_the_program_keep_their_traceback(plugin_commands):
    with pytest.raises(ZeroDivisionError):
        run(["speak", "fault"])


def test_ctrl_c(anyclip, plugin_commands):
    done = anyclip("speak", "interrupt")
    assert (done.code, done.err.strip()) == (130, "stopped")


def test_unknown_command(anyclip):
    done = anyclip("trian")
    assert (done.code, done.err) == (2, "error: unknown command 'trian'. Did you mean train?\n  next: anyclip --help\n")


def test_usage_errors(anyclip):
    done = anyclip("check")
    assert done.code == 2
    assert "Error: Missing argument 'CONFIG'." in done.err
    done = anyclip("--no-such-option")
    assert (done.code, "No such option" in done.err) == (2, True)


def test_version_and_bare_call(anyclip):
    assert anyclip("--version").out == f"anyclip, version {package.__version__}\n"
    done = anyclip()
    assert done.code == 2
    assert "Usage: anyclip" in done.err


def test_every_command_of_the_core_shows_its_help(anyclip):
    for part in get_registry().parts("command"):
        done = anyclip(part.spec.name, "--help")
        assert done.code == 0, done.err
        assert done.out.startswith(f"Usage: anyclip {part.spec.name} ")


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m anyclip plugins --json | head -c 10"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[\n  {\n    "


def test_no_colours_in_a_pipe():
    done = subprocess.run([sys.executable, "-m", "anyclip", "plugins"], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout


def test_a_signal_ends_a_command(tmp_path: Path):
    (tmp_path / "slow_plugin.py").write_text(
        textwrap.dedent(
            """
            import sys, time, click
            @click.command("slow")
            def command():
                print("ready", flush=True)
                time.sleep(60)
            """
        )
    )
    script = (
        "from anyclip.registry import *; from anyclip.specs import CommandSpec; from anyclip.cli.main import main\n"
        "spec = CommandSpec(name='slow', target='slow_plugin:command', summary='')\n"
        "with use_registry(Registry([PluginRow('s', 's', '1', parts=[Part(spec, 's', '1')])])): main(['slow'])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, b"stopped")
