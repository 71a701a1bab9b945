"""The exit statuses of the programs beyond 0, 1 and 2, by which others know what to do; it imports nothing."""

DOES_NOT_FIT = 3
"""The seeds that share a program do not fit the memory: fewer at once may."""
IN_USE = 4
"""Another run has the directory: it is to be waited for."""
