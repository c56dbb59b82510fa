"""What is installed, found through entry points; the rest of the core asks here by kind and name."""

from anyclip.registry.registry import Part, PluginRow, Registry, get_registry, use_registry

__all__ = ["Part", "PluginRow", "Registry", "get_registry", "use_registry"]
