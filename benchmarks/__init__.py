"""What `retarget bench` runs: one module per subject, each with `run(scale) -> list[Figure]`."""
