"""What the models are asked to do: one file a task."""
