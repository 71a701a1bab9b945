"""The application on top of the library: agent, loop, environments, command line."""
