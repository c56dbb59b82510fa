"""The registry: specs by kind and name, and the lazy import of what they point to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from packaging.utils import canonicalize_name

from anyclip.errors import PluginError, did_you_mean, nearest
from anyclip.specs import ModalitySpec, Spec


@dataclass(frozen=True)
class Part:
    """A spec with the distribution that brought it."""

    spec: Spec
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        return f"{self.distribution}:{self.spec.name}"


@dataclass
class PluginRow:
    """One row of `anyclip plugins`: a distribution's entry point, and what is wrong with it if anything is.

    status: `ok`; `partial`: its `parts` work and something else does not; `failed`: nothing of it can be used.
    mend: a command, or what else to do.
    """

    name: str
    distribution: str
    version: str
    status: str = "ok"
    problems: list[str] = field(default_factory=list)
    mend: str = ""
    parts: list[Part] = field(default_factory=list)


class Registry:
    """Specs by kind and name. Names may be bare (`audio/htsat`) or qualified (`anyclip-audio:audio/htsat`)."""

    def __init__(self, rows: Iterable[PluginRow]):
        self.rows = list(rows)
        self._parts: dict[str, dict[str, list[Part]]] = {}
        for row in self.rows:
            for part in row.parts:
                self._parts.setdefault(part.spec.kind, {}).setdefault(part.spec.name, []).append(part)

    def names(self, kind: str) -> list[str]:
        return sorted(self._parts.get(kind, {}))

    def parts(self, kind: str) -> list[Part]:
        return [part for name in self.names(kind) for part in self._parts[kind][name]]

    def clashes(self) -> list[tuple[str, str, list[Part]]]:
        """(kind, name, parts) of every bare name that more than one plugin brings."""
        return [(k, n, ps) for k, by_name in self._parts.items() for n, ps in by_name.items() if len(ps) > 1]

    def part(self, kind: str, name: str) -> Part:
        """The part of that name. Raises PluginError with the nearest name, or naming both sides of a clash."""
        distribution, _, bare = name.rpartition(":")
        found = self._parts.get(kind, {}).get(bare, [])
        if distribution:
            wanted = canonicalize_name(distribution)
            found = [p for p in found if canonicalize_name(p.distribution) == wanted]
        if not found:
            raise self._unknown(kind, name, distribution, bare)
        if len(found) > 1:
            both = " and ".join(sorted(p.distribution for p in found))
            raise PluginError(
                f"{kind} {name!r} comes from {both}.",
                hint=f"Name the one you mean: {' or '.join(sorted(p.qualified for p in found))}.",
                next="anyclip plugins",
            )
        return found[0]

    def _unknown(self, kind: str, name: str, distribution: str, bare: str) -> PluginError:
        """The error for a name that nobody brings: the nearest one, or the package that would bring it."""
        message = f"unknown {kind} {name!r}."
        broken = self._broken(distribution or f"anyclip-{bare.split('/')[0]}")
        if broken is not None:
            hint = f"Plugin {broken.distribution} has a problem: {broken.problems[0]}."
            return PluginError(message, hint=hint, next=broken.mend)
        if distribution and canonicalize_name(distribution) not in self._distributions():
            return PluginError(message, hint=f"{distribution} is not installed.", next=f"pip install {distribution}")
        known = self.names(kind)
        modality = bare.split("/")[0]
        if kind == "tower" and "/" in bare and nearest(modality, {n.split("/")[0] for n in known}) is None:
            hint = f"No installed plugin brings the modality {modality}."
            return PluginError(message, hint=hint, next=f"pip install anyclip-{modality}")
        if distribution:
            known = [p.qualified for p in self.parts(kind)]
        hint = did_you_mean(name, known, noun=f"Installed {kind} names")
        return PluginError(message, hint=hint, next="anyclip plugins")

    def _distributions(self) -> set[str]:
        return {canonicalize_name(row.distribution) for row in self.rows}

    def _broken(self, distribution: str) -> PluginRow | None:
        wanted = canonicalize_name(distribution)
        rows = [r for r in self.rows if r.status != "ok" and canonicalize_name(r.distribution) == wanted]
        return rows[0] if rows else None

    def spec(self, kind: str, name: str) -> Spec:
        return self.part(kind, name).spec

    def modality(self, name: str) -> ModalitySpec:
        spec = self.spec("modality", name)
        assert isinstance(spec, ModalitySpec)
        return spec

    def modalities_of_suffix(self, suffix: str) -> list[ModalitySpec]:
        """Every modality that claims a file suffix (`.mp4` may be two)."""
        return [p.spec for p in self.parts("modality") if suffix.lower() in p.spec.suffixes]  # type: ignore[attr-defined]

    def load(self, kind: str, name: str) -> Any:
        """Import and return the target of a part. Raises PluginError naming the plugin, the reason and the mend."""
        part = self.part(kind, name)
        missing = missing_modules(part.spec)
        if missing:
            raise PluginError(
                f"{kind} {name!r} needs {', '.join(missing)}, which is not installed.",
                next=f"pip install {' '.join(missing)}",
            )
        return resolve(part.spec.target, owner=part)

    def options_class(self, kind: str, name: str) -> type | None:
        """The options dataclass of a part (torch-free), or None when it takes none."""
        part = self.part(kind, name)
        return resolve(part.spec.options, owner=part) if part.spec.options else None

    def build_options(self, kind: str, name: str, options: dict[str, Any] | None = None) -> Any:
        """Validate a plain dict into the part's options dataclass (None when it takes none)."""
        from anyclip.config.validate import build_dataclass  # the config layer owns validation

        cls = self.options_class(kind, name)
        if cls is None:
            if options:
                raise PluginError(f"{kind} {name!r} takes no options, but got {', '.join(sorted(options))}.")
            return None
        return build_dataclass(cls, options or {}, label=f"{kind} {name}")


def missing_modules(spec: Spec) -> list[str]:
    """Modules that a part needs beyond its plugin's requirements and that are not installed (nothing is imported)."""
    return [module for module in spec.requires if find_spec(module.partition(".")[0]) is None]


def installed_backends(spec: ModalitySpec) -> dict[str, bool]:
    """Decoder of a modality -> whether it is installed (nothing is imported)."""
    return {module: find_spec(module.partition(".")[0]) is not None for module in spec.backends}


def resolve(target: str, *, owner: Part | None = None) -> Any:
    """Import `module:Attribute`. Raises PluginError when it is not there."""
    module_name, _, attribute = target.partition(":")
    who = f" of {owner.distribution} {owner.version}" if owner else ""
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        mend = f"pip install --upgrade {owner.distribution}" if owner else None
        raise PluginError(f"{target}{who} does not import: {reason}.", next=mend) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        hint = did_you_mean(attribute, [n for n in vars(module) if not n.startswith("_")], noun="It has")
        raise PluginError(f"{module_name}{who} has no {attribute!r}.", hint=hint) from None


_current: Registry | None = None


def get_registry() -> Registry:
    """The registry of everything installed, loaded once per process."""
    global _current
    if _current is None:
        from anyclip.registry.loading import load_rows

        _current = Registry(load_rows())
    return _current


@contextlib.contextmanager
def use_registry(registry: Registry) -> Iterator[Registry]:
    """Replace the registry inside a `with` block (tests)."""
    global _current
    before, _current = _current, registry
    try:
        yield registry
    finally:
        _current = before
