"""`python -m ilrs_science.cli` is `ilrs`."""

from ilrs_science.cli.app import main

main()
