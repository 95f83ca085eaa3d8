"""`python -m toastlab` is the command `toastlab`."""

from toastlab.cli.main import main

main()
