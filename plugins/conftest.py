"""The template is no package of its own: its tests run in the copies that `anyclip new-plugin` makes."""

collect_ignore = ["template"]
