"""What looks for inputs that do harm: fuzzing by coverage (atheris), and the contract's own checks (schemathesis)."""
