"""The nouns: frozen, JSON-able values that every other room speaks of."""
