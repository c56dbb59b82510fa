"""What a distribution says it needs, compared with what is installed, before any of its code runs."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name


def unmet_requirements(dist: metadata.Distribution) -> list[tuple[str, str]]:
    """(reason, command that mends it) for each requirement in the wheel's metadata that this environment lacks."""
    found = [_check(text, dist.metadata["Name"]) for text in dist.requires or ()]
    found.append(_check_python(dist.metadata["Requires-Python"]))
    return [problem for problem in found if problem]


def _check(text: str, owner: str) -> tuple[str, str] | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"its metadata has an invalid requirement {text!r}", f"pip install --upgrade {owner}"
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    wanted = f"{requirement.name}{requirement.specifier}"
    have = installed_version(requirement.name)
    if have is None:
        return f"needs {wanted}, which is not installed", f'pip install "{wanted}"'
    if requirement.specifier.contains(have, prereleases=True):
        return None
    reason = f"needs {wanted}, but {requirement.name} {have} is installed"
    if canonicalize_name(requirement.name) == "anyclip":  # either side may be too old
        return reason, f"pip install --upgrade anyclip {owner}"
    return reason, f'pip install "{wanted}"'


def _check_python(wanted: str | None) -> tuple[str, str] | None:
    have = platform.python_version()
    try:
        if not wanted or SpecifierSet(wanted).contains(have, prereleases=True):
            return None
    except InvalidSpecifier:
        return None
    return f"needs Python {wanted}, but this is Python {have}", f"install it under Python {wanted}"


def installed_version(name: str) -> str | None:
    """Version of a distribution, or None. A core that runs from its source folder counts as installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        if canonicalize_name(name) != "anyclip":
            return None
        from anyclip import __version__

        return __version__
