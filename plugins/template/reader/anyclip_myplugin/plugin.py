"""What this package registers. The only module that its entry point names; no torch here."""

from __future__ import annotations

from anyclip.hookspecs import hookimpl
from anyclip.specs import ReaderSpec


@hookimpl
def anyclip_readers():
    yield ReaderSpec(
        name="myreader",
        target="anyclip_myplugin.reader:MyReader",
        options="anyclip_myplugin.options:MyReaderOptions",
        summary="A folder with a JSON file per row",
        example="anyclip_myplugin.example:write",
    )
