"""What maintainers of the template run; the Makefile has a target for each."""
