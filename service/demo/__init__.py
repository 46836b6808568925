"""`retarget demo`: the whole loop on real orders with a simulated LINE, through the service's own code paths."""
