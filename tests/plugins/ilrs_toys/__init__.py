"""Toy instruments whose truth is a function of time and site; installed for tests as a real distribution."""
