"""What this kit says of GPUs, measured on one in one command: `python -m toastlab.bench.gpu`.

It asks for no package of the command line, so that it runs on a machine that is lent for a while.
On a CPU it runs the same parts small, to see that they work.
"""
