"""`python -m toastlab` is the command `toastlab`."""

from toastlab.cli.start import main

main()
