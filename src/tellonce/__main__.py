"""`python -m tellonce`: the same as the command `tellonce`."""

from tellonce.cli.main import main

main()
