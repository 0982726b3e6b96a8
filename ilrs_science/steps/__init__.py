"""Steps that suit more than one instrument; found through the entry points `ilrs_science.steps`, like a partner's."""
