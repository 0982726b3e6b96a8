"""What a run would do, and everything that is wrong with it: a pipeline becomes parts, and nothing is written."""
