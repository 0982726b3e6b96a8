"""Steps that suit more than one instrument; contributed through the entry points `ilrs_science.steps`, like a partner's."""
