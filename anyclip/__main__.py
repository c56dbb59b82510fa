"""`python -m anyclip` is the `anyclip` command."""

from anyclip.cli.main import main

main()
