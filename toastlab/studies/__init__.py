"""Many runs that answer one question: comparisons, sweeps, maps, recipes."""
