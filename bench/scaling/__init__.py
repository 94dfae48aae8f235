"""The autoscaler and its peers on the same arrivals, simulated."""
