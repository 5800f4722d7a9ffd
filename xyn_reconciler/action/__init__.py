"""Actions: typed tools that a step may use. They know inputs and a context, never a run's state."""
