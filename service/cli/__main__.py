"""`python -m service.cli`: the same as `retarget`."""

from service.cli import main

main()
