"""The networks that evaluations look through. No loss ever uses them: a test sees to it."""
