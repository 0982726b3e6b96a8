"""Raw formats, one a file: from bytes to arrays, without knowing any instrument."""
