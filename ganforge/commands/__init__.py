"""The command line: a file for each command; what several share begins with an underscore."""
