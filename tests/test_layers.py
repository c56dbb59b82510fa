"""Rules of the source tree: one direction of imports, short files, a core without modalities."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "anyclip"

# A module imports only from its own layer or from layers before it.
LAYERS = [
    {"errors", "specs"},
    {"hookspecs"},
    {"registry", "builtin"},
    {"config"},
    {"readers"},
    {"processors"},
    {"data"},
    {"towers"},
    {"projections", "model"},
    {"similarities"},
    {"distributed"},
    {"losses"},
    {"objectives"},
    {"step"},
    {"checkpoint"},
    {"inference"},
    {"evaluation"},
    {"trainer"},
    {"api"},
    {"cli", "__main__"},
    {"__main__"},
]
FREE = {"testing", "__init__"}  # aids for tests may import everything; the package's lazy names point anywhere
# the registry validates options when a part is built, which needs the config layer's validator
ALLOWED = {("registry", "config")}


def layer_of(part: str) -> int:
    for number, names in enumerate(LAYERS):
        if part in names:
            return number
    raise AssertionError(f"anyclip/{part} is in no layer: add it to LAYERS in {Path(__file__).name}")


def sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts and ".venv" not in p.parts)


def imported_parts(path: Path) -> set[str]:
    """Top-level parts of anyclip that a file imports, at any depth (lazy imports count)."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != "anyclip" else [f"anyclip.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        parts |= {n.split(".")[1] for n in names if n.startswith("anyclip.")}
    return parts


@pytest.mark.parametrize("path", sources(CORE), ids=lambda p: str(p.relative_to(CORE)))
def test_imports_go_one_way(path: Path):
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    if own in FREE:
        return
    for part in imported_parts(path) - FREE - {own, "__version__"}:
        if (own, part) not in ALLOWED:
            assert layer_of(part) <= layer_of(own), f"{own} imports {part}, which comes after it"


def test_no_file_passes_400_lines():
    tree = [p for f in ("anyclip", "plugins", "tests", "benchmarks", "examples", "docs") for p in sources(ROOT / f)]
    long = {str(p.relative_to(ROOT)): n for p in tree if (n := len(p.read_text().splitlines())) > 400}
    assert not long


def test_the_core_names_no_modality():
    """Docstrings may give examples; code may not know them."""
    word = re.compile(r"\b(image|text|audio|video|point_?cloud)\b", re.IGNORECASE)
    found = []
    for path in sources(CORE):
        tree = ast.parse(path.read_text())
        docs = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        }
        for node in ast.walk(tree):
            named = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
            if named and word.fullmatch(node.value.strip().rstrip("/")):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}")
    assert not found


def test_no_secret_of_a_machine():
    """No registry host and no path of one machine in what is shipped."""
    host = re.compile("py" + r"pi\.org|python" + r"hosted|debian\." + r"org|npm" + "js|/wo" + r"rk/|/fa" + "rm/")
    ignored = {".venv", ".git", "runs", "dist", "build", ".ruff_cache", ".pytest_cache"}
    files = [
        p
        for p in ROOT.rglob("*")
        if p.is_file()
        and p.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ""}
        and not ignored & set(p.relative_to(ROOT).parts)
        and "__pycache__" not in p.parts
    ]
    assert not [str(p) for p in files if host.search(p.read_text(errors="replace"))]
