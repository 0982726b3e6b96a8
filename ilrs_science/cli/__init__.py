"""The command `ilrs`: each command parses, calls one verb, and prints."""
