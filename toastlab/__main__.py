"""`python -m toastlab` is the command `toastlab`."""

from toastlab.cli import main

main()
