from toastlab.cli import main

main()
