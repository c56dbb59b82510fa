"""Plugins that misbehave in less common ways, and what counts as one plugin."""

from __future__ import annotations

import pytest

from anyclip.registry.loading import load_rows

HEAD = """
from anyclip.hookspecs import hookimpl
from anyclip.specs import *
"""
LOSS = "LossSpec(name='{}', target='a:B', summary='')"


def row_of(name: str):
    return next(row for row in load_rows() if row.name == name)


def install(shelf, dist: str, body: str, **more) -> None:
    shelf.install(dist, HEAD + body, **more)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("yield 3", "anyclip_losses yielded int; it takes LossSpec"),
        (
            "yield ReaderSpec(name='r', target='a:B', summary='')",
            "anyclip_losses yielded ReaderSpec; it takes LossSpec",
        ),
        (f"return {LOSS.format('x')}", "anyclip_losses failed: TypeError: 'LossSpec' object is not iterable"),
        ("yield LossSpec(name='x', target='a.B', summary='')", "loss 'x': target 'a.B' is not module:Attribute"),
        ("yield LossSpec(name='x', target='', summary='')", "loss 'x': target '' is not module:Attribute"),
        (
            "yield LossSpec(name='x', target='a:B', options='O', summary='')",
            "loss 'x': options 'O' is not module:Class",
        ),
        ("yield LossSpec(name='My Loss', target='a:B', summary='')", "bad loss name 'My Loss': lower-case letters"),
        ("yield LossSpec(name=None, target='a:B', summary='')", "bad loss name None: lower-case letters"),
        ("yield LossSpec(nam='x')", "anyclip_losses failed: TypeError: LossSpec.__init__() got an unexpected keyword"),
        ("raise SystemExit(3)", "anyclip_losses failed: SystemExit: 3 (anyclip_odd.py:"),
        ("return ()", "registers nothing: no hook of it yields a spec"),
    ],
)
def test_problem_of_one_hook(shelf, body, problem):
    install(shelf, "anyclip-odd", f"@hookimpl\ndef anyclip_losses():\n    {body}\n")
    row = row_of("odd")
    assert row.status == "failed"
    assert len(row.problems) == 1
    assert row.problems[0].startswith(problem) or problem in row.problems[0]
    assert row.mend == "report it to the author of anyclip-odd; pip uninstall anyclip-odd silences it"


def test_a_raise_inside_a_hook_keeps_what_came_before(shelf):
    install(shelf, "anyclip-half", f"@hookimpl\ndef anyclip_losses():\n    yield {LOSS.format('first')}\n    1 / 0\n")
    row = row_of("half")
    assert (row.status, [part.spec.name for part in row.parts]) == ("partial", ["first"])
    assert row.problems == ["anyclip_losses failed: ZeroDivisionError: division by zero (anyclip_half.py:7)"]


def test_ctrl_c_is_not_swallowed(shelf):
    install(shelf, "anyclip-slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_rows()


def test_what_a_plugin_prints_does_not_reach_stdout(shelf, capsys):
    install(
        shelf,
        "anyclip-chatty",
        f"print('hello')\n@hookimpl\ndef anyclip_losses():\n    print('hi')\n    yield {LOSS.format('c')}\n",
    )
    assert row_of("chatty").status == "ok"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\nhi\n")


def test_a_hook_may_have_defaults(shelf):
    install(shelf, "anyclip-new", f"@hookimpl\ndef anyclip_losses(context=None):\n    yield {LOSS.format('n')}\n")
    assert row_of("new").status == "ok"


def test_damaged_metadata_of_another_package_does_no_harm(shelf):
    shelf.install("other", "", points="no equals sign\n[[[")
    shelf.install_good()
    assert row_of("good").status == "ok"


def test_damaged_entry_points_are_a_row(shelf):
    shelf.install("anyclip-torn", "", points="[anyclip]\nno equals sign\n")
    row = row_of("anyclip-torn")
    assert row.status == "failed"
    assert row.problems[0].startswith("its entry_points.txt cannot be read: ")


def test_a_package_found_twice_counts_once(shelf, tmp_path, monkeypatch):
    shelf.install_good()
    second = tmp_path / "second"
    second.mkdir()
    monkeypatch.syspath_prepend(str(second))
    type(shelf)(second).install_good(name="newer")  # earlier on the path
    assert [part.spec.name for part in row_of("good").parts] == ["newer"]


@pytest.mark.parametrize(
    ("headers", "problem", "mend"),
    [
        ("Requires-Dist: numpy>=900", "needs numpy>=900, but numpy ", 'pip install "numpy>=900"'),
        (
            "Requires-Dist: not a requirement!",
            "its metadata has an invalid requirement",
            "pip install --upgrade anyclip-r",
        ),
        ("Requires-Python: >=9", "needs Python >=9, but this is Python ", "install it under Python >=9"),
        ("Requires-Dist: nothing-such; extra == 'more'", None, ""),
        ("Requires-Dist: nothing-such; python_version < '3'", None, ""),
    ],
)
def test_requirements_are_read_before_import(shelf, headers, problem, mend):
    source = (
        "raise RuntimeError('must not be imported')"
        if problem
        else f"@hookimpl\ndef anyclip_losses():\n    yield {LOSS.format('r')}\n"
    )
    install(shelf, "anyclip-r", source, headers=headers)
    row = row_of("r")
    assert row.mend == mend
    if problem is None:
        assert row.status == "ok"
    else:
        assert row.status == "failed"
        assert row.problems[0].startswith(problem)


def test_a_clash_of_two_plugins_is_said_in_both_rows(shelf):
    shelf.install_good("anyclip-one", "same")
    shelf.install_good("anyclip-two", "same")
    assert row_of("one").problems == ["loss 'same' is also in anyclip-two"]
    assert row_of("two").problems == ["loss 'same' is also in anyclip-one"]
