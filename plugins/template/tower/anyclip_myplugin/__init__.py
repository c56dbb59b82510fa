"""The tower mymodality/mytower for anyclip."""
